"""Episodes that are taken back, and brought back."""

import pytest

from apo_core.errors import EpisodeToolError
from apo_episodes.annotation import Annotation, annotate, annotation_path
from apo_episodes.discarded import discard, list_discarded, restore
from apo_episodes.reader import list_episodes, read_episode


def test_a_discarded_episode_leaves_the_data_set_and_comes_back(write):
    path = write(episode_id="a")
    annotate(path, "a", Annotation("FAILURE", "", "Ada", "2026"))
    content = path.read_bytes()
    kept = discard(path)
    assert kept == path.parent / ".discarded" / "a.h5"
    assert list_episodes(path.parent) == [] and list_discarded(path.parent) == [kept]
    assert kept.read_bytes() == content and read_episode(kept).annotation.outcome == "FAILURE"
    assert restore(path.parent, "a") == path
    assert list_discarded(path.parent) == [] and read_episode(path).annotation.outcome == "FAILURE"
    assert not annotation_path(kept).exists()


def test_nothing_is_overwritten(write):
    discard(write(episode_id="a"))
    again = write(episode_id="a")
    with pytest.raises(EpisodeToolError, match="exists already"):
        discard(again)
    with pytest.raises(EpisodeToolError, match="exists already"):
        restore(again.parent, "a")
    assert again.is_file() and len(list_discarded(again.parent)) == 1


def test_what_is_not_there_cannot_come_back(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        restore(tmp_path, "a")
    assert list_discarded(tmp_path) == []
