"""What compaction keeps and leaves alone, and that a kill at any moment neither loses nor doubles an episode."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_episodes import compaction
from apo_episodes.annotation import Annotation, annotate
from apo_episodes.compaction import CompactSettings, compact_episode, lossless_sha256, release_original, video_facts
from apo_episodes.curate.relabel import read_labels, write_labels
from apo_episodes.discarded import discard, list_discarded, restore
from apo_episodes.hdf5.checksums import plain_attributes
from apo_episodes.inspection.validate import validate
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import list_episodes, read_episode, verify_checksums

NOW = datetime(2026, 3, 1, tzinfo=UTC)
USUAL = CompactSettings()
CAMERAS = ("front", "grey")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts(path: Path) -> dict:
    """Everything in a file but colour images, checksums and what names the codec: {name: bytes and type, or value}."""
    found: dict = {}
    with h5py.File(path) as f:

        def add(name, item):
            if isinstance(item, h5py.Dataset) and not name.startswith("observation/video/"):
                found[name] = (str(item.dtype), item.shape, item[()].tobytes())

        f.visititems(add)
        attributes = plain_attributes(f)
    for name in CAMERAS:
        found.pop(f"observation/images/{name}", None)
    return found | {k: v for k, v in attributes.items() if k not in ("image_compression", "checksums", "video")}


def names(folder: Path) -> list[str]:
    """Everything in a folder but the recorder's."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".partial")


def test_facts_and_labels_stay_to_the_bit(write_film):
    path = write_film()
    before, known, old = sha256(path), facts(path), read_episode(path)
    with h5py.File(path) as f:
        sums = json.loads(f.attrs["checksums"])["datasets"]
    size = path.stat().st_size
    result = compact_episode(path, USUAL, NOW)
    assert (result.is_new, result.bytes_before, result.bytes_after) == (True, size, path.stat().st_size)
    assert result.bytes_after < result.bytes_before
    assert facts(path) == known and len(known) > 30
    new = read_episode(path)
    assert new.labels(LabelRule()) == old.labels(LabelRule())
    assert new.info == old.info and new.outcome == old.outcome and new.image_compression == "video"
    np.testing.assert_array_equal(new.images["depth"], old.images["depth"])
    for camera in CAMERAS:
        error = np.mean((new.images[camera].astype(float) - old.images[camera]) ** 2)
        assert 10 * np.log10(255**2 / error) == pytest.approx(result.psnr_db[camera], abs=0.01)
        assert result.psnr_db[camera] >= 38
    assert verify_checksums(path) == [] and validate(path).faults == []
    assert video_facts(path) == {
        "codec": "h264",
        "crf": 20,
        "gop": 10,
        "psnr_db": dict(result.psnr_db),
        "compacted_utc": "2026-03-01T00:00:00+00:00",
        "original": {"sha256": before, "frames": {name: sums[f"observation/images/{name}"] for name in CAMERAS}},
    }
    original = path.parent / "originals" / "e1.h5"
    assert sha256(original) == before == lossless_sha256(path) and lossless_sha256(original) == ""
    assert names(path.parent) == ["e1.h5", "originals", "originals/e1.h5"]
    assert list_episodes(path.parent) == [path]


def test_a_second_run_does_nothing(write_film):
    path = write_film("PPHPO")
    compact_episode(path, USUAL, NOW)
    before = {name: (path.parent / name).stat() for name in names(path.parent)}
    result = compact_episode(path, replace(USUAL, crf=40), NOW + timedelta(days=1))
    assert (result.is_new, result.reason) == (False, "its images are video already")
    after = {name: (path.parent / name).stat() for name in names(path.parent)}
    assert {n: (s.st_ino, s.st_size) for n, s in after.items()} == {n: (s.st_ino, s.st_size) for n, s in before.items()}


def test_what_loses_too_much_stays(write_film):
    path = write_film("PPHPO")
    before = sha256(path)
    result = compact_episode(path, replace(USUAL, crf=51), NOW)
    assert not result.is_new and result.reason.startswith("camera 'front' would have ")
    assert result.reason.endswith(" dB, the floor is 38 (--floor, --crf)")
    assert sha256(path) == before and names(path.parent) == ["e1.h5"]


def test_a_single_bad_frame_keeps_an_episode(write_film):
    def noise(index, step):
        images = {name: np.full_like(image, 90) for name, image in step.observation.images.items()}
        images |= {"depth": np.zeros((4, 6, 1), np.uint16), "grey": np.full((96, 128, 1), 90, np.uint8)}
        images["front"] = np.full((96, 128, 3), 90, np.uint8)
        if index == 33:
            images["front"] = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
        return replace(step, observation=replace(step.observation, images=images))

    path = write_film("P" * 60, change=noise)
    result = compact_episode(path, replace(USUAL, crf=26), NOW)
    assert not result.is_new and "a frame of camera 'front' would have" in result.reason


def test_what_gains_nothing_stays(write):
    flat = np.full((4, 6, 3), 90, np.uint8)
    path = write("PP", change=lambda _, s: replace(s, observation=replace(s.observation, images={"front": flat})))
    result = compact_episode(path, USUAL, NOW)
    assert not result.is_new and result.reason.startswith("its video is not smaller: ")
    assert names(path.parent) == ["e1.h5"]


def test_lossy_old_and_empty_episodes_stay(write, write_film, takeovers, tmp_path):
    assert compact_episode(write("PP", compression="jpeg"), USUAL, NOW).reason == "its images are jpeg already"
    old = Path(shutil.copy(takeovers / "lift-10003.h5", tmp_path))
    assert compact_episode(old, USUAL, NOW).reason == "is of schema version 1, which has no checksums"
    assert compact_episode(write_film("", episode_id="e2"), USUAL, NOW).reason == "has no colour images"
    link = tmp_path / "link.h5"
    link.symlink_to(write_film("PP", episode_id="e3"))
    assert compact_episode(link, USUAL, NOW).reason == "is a symbolic link"


def test_damaged_content_is_never_compacted(write_film):
    path = write_film("PPHPO")
    with h5py.File(path, "r+") as f:
        f["observation/images/front"][2, 5, 5] = 0
    before = sha256(path)
    with pytest.raises(EpisodeFormatError, match=r"dataset 'observation/images/front' is not what was recorded"):
        compact_episode(path, USUAL, NOW)
    assert sha256(path) == before and names(path.parent) == ["e1.h5"]


def test_damaged_attributes_are_never_made_good(write_film):
    path = write_film("PPHPO")
    with h5py.File(path, "r+") as f:
        f.attrs["operator"] = "bob"
    with pytest.raises(EpisodeFormatError, match=r"e1\.h5: its attributes are not what was recorded"):
        compact_episode(path, USUAL, NOW)
    assert names(path.parent) == ["e1.h5"]


def test_a_copy_that_differs_never_takes_the_place(write_film, monkeypatch):
    path = write_film("PPHPO")
    before, build = sha256(path), compaction._build

    def spoilt(source, work, *others):
        result = build(source, work, *others)
        with h5py.File(work, "r+") as f:
            f["action/executed"][0] = 0.5
        return result

    monkeypatch.setattr(compaction, "_build", spoilt)
    with pytest.raises(
        EpisodeToolError, match=r"its compacted copy is wrong: 'action/executed' is not what was written"
    ):
        compact_episode(path, USUAL, NOW)
    assert sha256(path) == before and names(path.parent) == ["e1.h5"]


def test_an_episode_that_moves_meanwhile_stays_away(write_film):
    path = write_film("PPHPO")
    away = path.parent.parent / "away.h5"
    calls = []

    def go_on():
        calls.append(1)
        if len(calls) == 3:  # of several, while the new file is made
            path.rename(away)

    with pytest.raises((EpisodeToolError, OSError)):
        compact_episode(path, USUAL, NOW, go_on)
    assert not path.exists() and away.exists() and list_episodes(path.parent) == []


@pytest.fixture
def at_the_last_moment(monkeypatch):
    """(action) -> it happens right before the new file takes the name of the lossless one."""
    whole = compaction.exchange

    def set_up(action):
        def exchange(one, other):
            monkeypatch.setattr(compaction, "exchange", whole)
            action()
            whole(one, other)

        monkeypatch.setattr(compaction, "exchange", exchange)

    return set_up


def test_an_episode_that_is_taken_back_at_the_last_moment_stays_away(write_film, at_the_last_moment):
    path = write_film("PPHPO")
    before = sha256(path)
    at_the_last_moment(lambda: discard(path))
    with pytest.raises(EpisodeToolError, match="was changed or moved while it was compacted"):
        compact_episode(path, USUAL, NOW)
    assert list_episodes(path.parent) == [] and sha256(list_discarded(path.parent)[0]) == before
    assert sha256(restore(path.parent, "e1")) == before
    assert compact_episode(path, USUAL, NOW).is_new


def test_a_file_that_takes_the_name_at_the_last_moment_keeps_it(write_film, at_the_last_moment, tmp_path):
    path, other = write_film("PPHPO"), tmp_path / "other"
    other.write_bytes(b"other")
    at_the_last_moment(lambda: other.replace(path))
    with pytest.raises(EpisodeToolError, match="was changed or moved while it was compacted"):
        compact_episode(path, USUAL, NOW)
    assert path.read_bytes() == b"other" and names(path.parent) == ["e1.h5", "originals", "originals/e1.h5"]


def test_a_file_system_that_cannot_exchange_names_does_with_replacing(write_film, monkeypatch):
    def cannot(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(compaction, "exchange", cannot)
    path = write_film("PPHPO")
    assert compact_episode(path, USUAL, NOW).is_new and read_episode(path).image_compression == "video"


def test_it_ends_between_groups_when_asked_to(write_film):
    path = write_film()

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact_episode(path, USUAL, NOW, stop)
    assert names(path.parent) == ["e1.h5"]


def test_one_process_at_a_time_works_in_a_folder(write_film):
    first, second = write_film("PPHPO"), write_film("PPHPO", episode_id="e2")
    caught = []

    def other():
        if not caught:
            with pytest.raises(EpisodeToolError, match="another process compacts its episodes") as error:
                compact_episode(second, USUAL, NOW)
            caught.append(error)

    assert compact_episode(first, USUAL, NOW, other).is_new
    assert len(caught) == 1 and compact_episode(second, USUAL, NOW).is_new


def test_another_file_among_the_originals_is_not_overwritten(write_film):
    path = write_film("PPHPO")
    other = path.parent / "originals" / "e1.h5"
    other.parent.mkdir()
    other.write_bytes(b"another")
    before = sha256(path)
    with pytest.raises(EpisodeToolError, match="is there already, with other content"):
        compact_episode(path, USUAL, NOW)
    assert sha256(path) == before and other.read_bytes() == b"another"


def test_without_hard_links_the_original_is_copied(write_film, monkeypatch):
    def no_links(*_):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    path = write_film("PPHPO")
    before = sha256(path)
    assert compact_episode(path, USUAL, NOW).is_new
    assert sha256(path.parent / "originals" / "e1.h5") == before
    assert names(path.parent) == ["e1.h5", "originals", "originals/e1.h5"]


def test_originals_go_after_their_time(write_film):
    path = write_film("PPHPO")
    original = path.parent / "originals" / "e1.h5"
    assert release_original(path, 0, NOW) is None
    compact_episode(path, USUAL, NOW)
    assert release_original(path, 7, NOW + timedelta(days=6.5)) == "compacted 6.5 days ago" and original.exists()
    assert release_original(path, 7, NOW + timedelta(days=7)) is None and not original.exists()
    assert verify_checksums(path) == []


def test_an_original_stays_while_the_video_is_in_doubt(write_film):
    path = write_film("PPHPO")
    compact_episode(path, USUAL, NOW)
    original, late = path.parent / "originals" / "e1.h5", NOW + timedelta(days=9)
    video, lossless = path.read_bytes(), original.read_bytes()
    with h5py.File(path, "r+") as f:
        f["observation/video/front/bytes"][700] ^= 1
    assert release_original(path, 7, late) == "the compacted file is damaged: observation/video/front/bytes"
    path.write_bytes(lossless)
    assert release_original(path, 7, late) == "the episode is not video"
    path.write_bytes(video)
    original.write_bytes(lossless + b"x")
    assert release_original(path, 7, late) == "it is not the file that the episode was made of"
    original.write_bytes(lossless)
    assert release_original(path, 7, late) is None and not original.exists()


def test_annotations_and_label_files_stay_good(write_film, tmp_path):
    path = write_film()
    annotate(path, "e1", Annotation("FAILURE", "slipped", "ann", "2026-02-01T00:00:00+00:00"))
    write_labels([read_episode(path, images=False)], LabelRule(), tmp_path / "labels.json")
    before = read_labels(tmp_path / "labels.json", read_episode(path, images=False))
    compact_episode(path, USUAL, NOW)
    episode = read_episode(path, images=False)
    assert episode.outcome.outcome == "FAILURE"
    assert read_labels(tmp_path / "labels.json", episode) == before


# Runs a compaction in a child for each change of the file system, which dies right before that change, then once whole.
_KILLED = """
import os, signal, sys, shutil, traceback
import av, cv2, PIL.Image
from datetime import UTC, datetime
from pathlib import Path
from apo_episodes import compaction
from apo_episodes.compaction import CompactSettings, compact_episode, release_original
exchange = compaction.exchange  # of the C library, which raises no event
compaction.exchange = lambda one, other: sys.audit("os.rename", one, other) or exchange(one, other)
source, place, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
WATCHED = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "open", "shutil.copyfile"}
def work(path):
    if mode == "copy":
        def no_links(*_): raise PermissionError("no hard links here")
        os.link = no_links
    compact_episode(path, CompactSettings(), datetime(2026, 3, 1, tzinfo=UTC))
    if mode == "release":
        release_original(path, 1, datetime(2026, 3, 9, tzinfo=UTC))
def child(path, last):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT): return
        if event in WATCHED and any(str(path.parent) in str(argument) for argument in arguments):
            count += 1
            if count > last: os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    work(path)
    os._exit(0)
for moment in range(500):
    folder = place / f"{moment:03d}"
    folder.mkdir(parents=True)
    path = Path(shutil.copy(source, folder / "e1.h5"))
    pid = os.fork()
    if pid == 0:
        try: child(path, moment)
        except BaseException: traceback.print_exc()
        finally: os._exit(9)
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSIGNALED(status):
        print(moment, os.WEXITSTATUS(status))
        break
"""


@pytest.mark.parametrize("mode", ["link", "copy", "release"])
def test_a_kill_at_any_moment_keeps_one_whole_episode(write_film, tmp_path, mode):
    source = write_film("PPHPO")
    known, before = facts(source), sha256(source)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(source), str(tmp_path / "killed"), mode],
        capture_output=True,
        text=True,
        check=True,
    )
    moments, status = map(int, done.stdout.split())
    assert (status, moments >= 8) == (0, True), done.stderr
    states = set()
    for moment in range(moments):
        path = tmp_path / "killed" / f"{moment:03d}" / "e1.h5"
        assert list_episodes(path.parent) == [path]
        assert verify_checksums(path) == [] and facts(path) == known
        original = path.parent / "originals" / "e1.h5"
        is_video = read_episode(path).image_compression == "video"
        states.add((is_video, original.exists()))
        if is_video and mode != "release":
            assert sha256(original) == before
        compact_episode(path, USUAL, NOW)
        assert names(path.parent) in (["e1.h5", "originals", "originals/e1.h5"], ["e1.h5", "originals"])
        assert read_episode(path).image_compression == "video" and facts(path) == known
        assert not original.exists() or sha256(original) == before
    assert {(False, False), (False, True), (True, True)} <= states
