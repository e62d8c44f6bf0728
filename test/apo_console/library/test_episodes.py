"""The list of episodes, an episode in detail, and the changes of a person."""

import shutil
import struct

import cv2
import h5py
import numpy as np
import pytest

from apo_console.library.episodes import EpisodeLibrary
from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_core.types import Outcome
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode, read_frames

NOW = "2026-11-30T08:00:00+00:00"


def rows(library):
    while (listed := library.rows())["unread"]:
        pass
    return listed["rows"]


def ids(library, **wanted):
    return [row["id"] for row in rows(library) if all(row.get(k) == v for k, v in wanted.items())]


def test_episodes_are_listed_the_newest_first(library):
    listed = rows(library)
    assert [row["id"] for row in listed] == ["lift-10009", "lift-10007", "lift-10005", "lift-10003"]
    last = listed[-1]
    assert (last["outcome"], last["steps"], last["takeovers"], last["share"]) == ("SUCCESS", 33, 1, 0.4545)
    assert (last["adapters"], last["operator"], last["discarded"]) == ([0], "scripted", False)


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path):
    assert EpisodeLibrary(tmp_path / "none", LabelRule(), tmp_path).rows() == {"rows": [], "unread": 0}


def test_files_that_take_long_are_left_for_the_next_list(episode_dir, tmp_path):
    library = EpisodeLibrary(episode_dir, LabelRule(), tmp_path, read_s=0.0)
    for known in (1, 2, 3, 4, 4):
        listed = library.rows()
        assert (len(listed["rows"]), listed["unread"]) == (known, 4 - known)


def test_what_is_added_and_removed_is_seen(library, episode_dir):
    assert len(ids(library)) == 4
    (episode_dir / "lift-10005.h5").rename(episode_dir / "new.h5")
    assert ids(library) == ["new", "lift-10009", "lift-10007", "lift-10003"]


def test_a_file_that_cannot_be_read_is_listed_with_its_fault(library, episode_dir):
    (episode_dir / "lift-10005.h5").write_bytes(b"no episode")
    row = next(row for row in rows(library) if row["id"] == "lift-10005")
    assert "lift-10005.h5" in row["fault"] and "outcome" not in row


def test_a_timeline_has_runs_of_who_drove_and_of_labels(library):
    shown = library.details("lift-10003")
    assert [(run["start"], run["end"], run["source"], run["label"]) for run in shown["timeline"]] == [
        (0, 2, "POLICY", "DESIRABLE"),
        (2, 12, "POLICY", "UNDESIRABLE"),
        (12, 27, "HUMAN", "CORRECTED"),
        (27, 33, "POLICY", "DESIRABLE"),
    ]
    assert (shown["seconds"], shown["driven_s"]) == (1.65, 0.75)
    assert (shown["rate_hz"], shown["cameras"], shown["takeover_steps"]) == (20.0, ["agentview", "wrist"], [12])


def test_pictures_are_those_of_the_steps(library, episode_dir):
    data = library.frames("lift-10003", "wrist", 30, 10)
    pictures, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        pictures.append(cv2.imdecode(np.frombuffer(data[at + 4 : at + 4 + length], np.uint8), cv2.IMREAD_COLOR))
        at += 4 + length
    recorded = read_frames(episode_dir / "lift-10003.h5", [30, 31, 32])["wrist"]
    assert len(pictures) == 3
    for picture, frame in zip(pictures, recorded, strict=True):
        assert np.abs(picture[:, :, ::-1].astype(int) - frame).mean() < 6


@pytest.mark.parametrize(
    ("camera", "start", "count", "fault"),
    [
        ("back", 0, 1, "camera 'back' is not one of"),
        ("wrist", 33, 1, "not in 0..32"),
        ("wrist", 0, 0, "not in 0..32"),
    ],
)
def test_pictures_that_are_not_there_are_named(library, camera, start, count, fault):
    with pytest.raises(EpisodeToolError, match=fault):
        library.frames("lift-10003", camera, start, count)


def test_an_answer_has_at_most_64_pictures(library, episode_dir):
    data = library.frames("lift-10007", "wrist", 0, 10**9)
    count, at = 0, 0
    while at < len(data):
        at += 4 + struct.unpack_from("<I", data, at)[0]
        count += 1
    assert count == 48  # of the whole episode


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../secret", "a/b", "/etc/passwd", ".discarded/a", "a\0b", "-rf", "x" * 300, "none"]
)
def test_no_name_leads_out_of_the_folder(library, episode_dir, name):
    (episode_dir.parent / "secret.h5").write_bytes(b"")
    with pytest.raises(EpisodeToolError, match=r"not the name of an episode|is not in"):
        library.path(name)


def test_a_link_is_no_episode(library, episode_dir):
    (episode_dir / "link.h5").symlink_to(episode_dir / "lift-10003.h5")
    with pytest.raises(EpisodeToolError, match="is not in"):
        library.path("link")


def test_a_corrected_outcome_is_shown_beside_the_recorded_one(library, episode_dir):
    assert ids(library, outcome="FAILURE") == []
    assert library.annotate("lift-10005", "FAILURE", "it slipped", "Ada", NOW) == "lift-10005: FAILURE"
    row = next(row for row in rows(library) if row["id"] == "lift-10005")
    assert (row["outcome"], row["recorded_outcome"]) == ("FAILURE", "SUCCESS")
    assert library.details("lift-10005")["decisions"] == [
        {"outcome": "FAILURE", "note": "it slipped", "author": "Ada", "created_utc": NOW}
    ]
    with h5py.File(episode_dir / "lift-10005.h5") as file:
        assert file.attrs["outcome"] in ("SUCCESS", b"SUCCESS")
    library.annotate("lift-10005", "RECORDED", "", "Ada", NOW)
    assert ids(library, outcome="FAILURE") == []
    assert len(library.details("lift-10005")["decisions"]) == 2


def test_an_outcome_that_does_not_exist_is_rejected(library, episode_dir):
    with pytest.raises(EpisodeToolError, match="outcome 'GREAT' is not one of"):
        library.annotate("lift-10005", "GREAT", "", "Ada", NOW)
    assert read_episode(episode_dir / "lift-10005.h5").outcome.outcome is Outcome.SUCCESS


def test_a_discarded_episode_can_be_seen_and_restored(library, episode_dir):
    assert library.discard("lift-10005") == "lift-10005 is discarded"
    assert ids(library, discarded=True) == ["lift-10005"] and not (episode_dir / "lift-10005.h5").exists()
    assert library.details("lift-10005")["discarded"] is True
    with pytest.raises(EpisodeToolError, match="discarded already"):
        library.discard("lift-10005")
    assert library.restore("lift-10005") == "lift-10005 is restored"
    assert ids(library, discarded=True) == [] and (episode_dir / "lift-10005.h5").is_file()
    with pytest.raises(EpisodeToolError, match="is not discarded"):
        library.restore("lift-10005")


def test_chosen_episodes_are_exported(library, tmp_path):
    line = library.export(["lift-10003", "lift-10009"], "robomimic", "mine")
    target = tmp_path / "exports" / "mine_robomimic.hdf5"
    assert line.startswith(str(target)) and "2 demonstrations" in line
    with h5py.File(target) as file:
        assert len(file["data"]) == 2


@pytest.mark.parametrize(
    ("chosen", "form", "fault"),
    [
        ([], "robomimic", "no episode is selected"),
        (["lift-10003"], "zip", "format 'zip' is not one of"),
        (["../x"], "robomimic", "not the name of an episode"),
    ],
)
def test_an_export_that_is_not_possible_has_a_reason(library, chosen, form, fault):
    with pytest.raises(EpisodeToolError, match=fault):
        library.export(chosen, form, "mine")


def test_the_reason_of_a_failed_export_is_that_of_the_tool(library):
    library.export(["lift-10003"], "robomimic", "mine")
    with pytest.raises(EpisodeToolError, match="exists already"):
        library.export(["lift-10003"], "robomimic", "mine")


def test_a_damaged_episode_has_no_details(library, episode_dir):
    (episode_dir / "lift-10005.h5").write_bytes(b"no episode")
    with pytest.raises(EpisodeFormatError):
        library.details("lift-10005")


def test_an_export_ends_with_the_console(library, tmp_path):
    library.close()
    with pytest.raises(EpisodeToolError):
        library.export(["lift-10003", "lift-10009"], "robomimic", "mine")
    assert list((tmp_path / "exports").iterdir()) == []


def test_pictures_follow_a_file_that_is_replaced(library, episode_dir):
    assert library.frames("lift-10003", "agentview", 0, 1)
    target = episode_dir / "lift-10003.h5"
    shutil.copy(episode_dir / "lift-10009.h5", target)
    steps = read_episode(target, images=False).num_steps
    with pytest.raises(EpisodeToolError, match=f"not in 0..{steps - 1}"):
        library.frames("lift-10003", "agentview", steps, 1)
