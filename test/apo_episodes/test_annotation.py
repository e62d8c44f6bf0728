"""Decisions about episodes beside their files."""

import json
import os
from dataclasses import asdict

import pytest

from apo_core.errors import EpisodeFormatError, EpisodeToolError
from apo_core.types import Outcome, StepLabel
from apo_episodes.annotation import Annotation, annotate, annotation_path, read_annotations
from apo_episodes.curate.datasets import write_folder
from apo_episodes.files import read_all
from apo_episodes.inspection.table import describe, summarise
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import list_episodes, read_episode, verify_checksums

FAILED = Annotation("FAILURE", "it slipped", "Ada", "2026-11-30T08:00:00+00:00")
AS_RECORDED = Annotation("", "", "Ada", "2026-11-30T09:00:00+00:00")


def test_a_decision_takes_the_place_of_the_recorded_outcome(write):
    path = write(episode_id="a")
    before = path.read_bytes()
    annotate(path, "a", FAILED)
    episode = read_episode(path)
    assert episode.outcome.outcome is Outcome.FAILURE and episode.outcome.reason == "annotated: it slipped"
    assert episode.recorded_outcome.outcome is Outcome.SUCCESS and episode.annotation == FAILED
    assert path.read_bytes() == before and verify_checksums(path) == []
    assert list_episodes(path.parent) == [path]


def test_tables_and_labels_follow_the_decision(write):
    path = write("PPPP", episode_id="a")
    assert StepLabel.UNDESIRABLE not in read_episode(path).labels(LabelRule())
    annotate(path, "a", FAILED)
    episode = read_episode(path)
    assert summarise(episode).outcome == "FAILURE"
    assert StepLabel.UNDESIRABLE in episode.labels(LabelRule())
    shown = describe(episode, LabelRule())
    assert (shown["recorded_outcome"], shown["annotation"]) == ("SUCCESS", asdict(FAILED))


def test_the_recorded_outcome_can_count_again_and_all_decisions_are_kept(write):
    path = write(episode_id="a")
    annotate(path, "a", FAILED)
    annotate(path, "a", AS_RECORDED)
    episode = read_episode(path)
    assert episode.outcome.outcome is Outcome.SUCCESS
    assert episode.annotation is None and episode.recorded_outcome is None
    assert read_annotations(path, "a") == [FAILED, AS_RECORDED]


def test_at_most_200_decisions_are_kept_and_texts_are_cut(write):
    path = write(episode_id="a")
    annotate(path, "a", Annotation("FAILURE", "x" * 1000, "y" * 1000, "2026"))
    (kept,) = read_annotations(path, "a")
    assert (kept.note, kept.author) == ("x" * 500, "y" * 500)
    for number in range(200):
        annotate(path, "a", Annotation("SUCCESS", str(number), "", "2026"))
    notes = [decision.note for decision in read_annotations(path, "a")]
    assert notes == [str(number) for number in range(200)]


def test_copies_keep_the_decision(write, tmp_path):
    path = write(episode_id="a")
    annotate(path, "a", FAILED)
    moved = path.rename(path.with_name("other.h5"))
    annotation_path(path).rename(annotation_path(moved))
    (copy,) = write_folder(read_all([moved]), tmp_path / "out", link=True)
    assert copy.name == "a.h5" and read_episode(copy).annotation == FAILED


def document(**changes):
    return {
        "schema": "apo.episode_annotation",
        "schema_version": 1,
        "episode_id": "a",
        "decisions": [asdict(FAILED)],
        **changes,
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "not an annotation"),
        ("[]", "not an annotation"),
        ("[" * 100_000, "not an annotation"),
        ("\xff", "not an annotation"),
        (json.dumps(document(schema="other")), "is not apo.episode_annotation 1"),
        (json.dumps(document(schema_version=2)), "is not apo.episode_annotation 1"),
        (json.dumps(document(episode_id="b")), "is of episode 'b'"),
        (json.dumps(document(decisions=[{**asdict(FAILED), "outcome": "GOOD"}])), "'GOOD' is not a valid Outcome"),
        (json.dumps(document(decisions=[{**asdict(FAILED), "note": 5}])), "not a text of at most 500"),
        (json.dumps(document(decisions=[{**asdict(FAILED), "more": ""}])), "not an annotation"),
        (json.dumps(document(decisions=[{"outcome": "FAILURE"}])), "not an annotation"),
        (json.dumps(document()) + " " * (1 << 18), "more than 262144 bytes"),
    ],
    ids=lambda value: str(value)[:20] or "empty",
)
def test_a_damaged_file_is_rejected_with_its_name(write, content, fault):
    path = write(episode_id="a")
    annotation_path(path).write_bytes(content.encode("latin-1"))
    with pytest.raises(EpisodeFormatError, match=fault) as error:
        read_episode(path)
    assert "a.annotation.json" in str(error.value)
    with pytest.raises(EpisodeFormatError):
        annotate(path, "a", FAILED)


def test_a_link_is_not_followed(write, tmp_path):
    path = write(episode_id="a")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(document()))
    os.symlink(elsewhere, annotation_path(path))
    with pytest.raises(EpisodeFormatError, match="cannot be read"):
        read_episode(path)


def test_an_episode_that_is_missing_has_no_decision(tmp_path):
    with pytest.raises(EpisodeToolError, match="does not exist"):
        annotate(tmp_path / "a.h5", "a", FAILED)
    assert read_annotations(tmp_path / "a.h5", "a") == []
