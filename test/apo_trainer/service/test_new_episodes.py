"""New episodes are counted once, until a run uses them."""

from pathlib import Path

import pytest

from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeKind, Purpose
from apo_trainer.data.episode_checks import EpisodeChecks
from apo_trainer.service.new_episodes import NewEpisodes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def inbox(folder, tmp_path):
    """Makes the inbox as a node that starts does."""
    return lambda: NewEpisodes(folder, tmp_path / "run" / "used.json", EpisodeChecks(None))


@pytest.fixture
def add(write_episode, folder):
    return lambda name, sources="PPPHHH", **kinds: write_episode(name, sources, directory=folder, **kinds)


def test_a_folder_that_is_not_there_yet_has_nothing(inbox):
    box = inbox()
    assert (box.look(), box.new, box.rejected) == ([], 0, {})


def test_new_episodes_are_counted_until_a_run_takes_them(inbox, add):
    box = inbox()
    add("a"), add("b")
    assert (box.look(), box.new) == ([], 2)
    box.look()
    assert box.new == 2
    assert box.take() == 2
    assert box.new == 0
    add("c")
    box.look()
    assert box.new == 1


def test_a_restart_does_not_count_again_what_was_used(inbox, add):
    first = inbox()
    add("a")
    first.look()
    first.take()
    add("b")
    second = inbox()
    second.look()
    assert second.new == 1


def test_a_run_on_named_episodes_leaves_the_others_new(inbox, add):
    box = inbox()
    add("a"), add("b"), add("c")
    box.look()
    assert box.take(["a", "c", "gone"]) == 2
    assert box.new == 1


def test_a_run_on_all_uses_what_was_not_looked_at_yet(inbox, add):
    box = inbox()
    add("a")
    box.look()
    add("b"), add("c")
    assert box.take() == 1
    box.look()
    assert box.new == 0


def test_a_run_on_named_episodes_uses_them_before_they_were_looked_at(inbox, add):
    box = inbox()
    add("a"), add("b")
    box.take(["a"])
    box.look()
    assert box.new == 1


def test_bad_file_is_reported_once_and_the_rest_counts(inbox, add, folder):
    box = inbox()
    add("a")
    (folder / "broken.h5").write_bytes(b"nothing")
    (rejected,) = box.look()
    assert rejected.path == folder / "broken.h5"
    assert "not a readable episode file" in rejected.reason
    assert box.look() == []
    assert (box.new, list(box.rejected)) == (1, [folder / "broken.h5"])


def test_file_that_was_mended_or_removed_is_no_longer_rejected(inbox, add, folder):
    box = inbox()
    folder.mkdir()
    (folder / "a.h5").write_bytes(b"half of it")
    (folder / "b.h5").write_bytes(b"nothing")
    assert len(box.look()) == 2
    whole = add("c")
    (folder / "b.h5").unlink()
    (folder / "a.h5").write_bytes(whole.read_bytes())
    whole.unlink()
    box.look()
    assert (box.new, box.rejected) == (1, {})


def test_demonstrations_and_evaluations_start_no_run(inbox, add):
    box = inbox()
    add("expert", "HHH", kind=EpisodeKind.DEMONSTRATION)
    add("measured", tags={"purpose": str(Purpose.EVALUATION)})
    assert (box.look(), box.new) == ([], 0)


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_damaged_record_is_not_guessed(inbox, tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "used.json").write_text(text)
    with pytest.raises(EpisodeFormatError, match="deleting it makes all episodes new"):
        inbox()
