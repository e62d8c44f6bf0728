"""The files that a run trains on."""

from apo_core.types import EpisodeKind
from apo_trainer.data.episode_files import find_episodes


def test_find_episodes_takes_all_demonstrations_and_the_named_interactions(write_episode, tmp_path):
    expert, recorded = tmp_path / "expert", tmp_path / "recorded"
    demo = write_episode("demo", "HH", kind=EpisodeKind.DEMONSTRATION, directory=expert)
    first = write_episode("one", "PH", directory=recorded)
    second = write_episode("two", "PH", directory=recorded)
    assert find_episodes(recorded, expert) == ([demo, first, second], [])
    paths, missing = find_episodes(recorded, expert, ["two", "three"])
    assert paths == [demo, second]
    assert [(item.path.name, item.reason) for item in missing] == [("three.h5", "requested but not found")]


def test_find_episodes_without_folders_is_empty(tmp_path):
    assert find_episodes(tmp_path / "none", tmp_path / "nothing") == ([], [])
