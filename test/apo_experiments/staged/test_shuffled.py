"""Episodes with shuffled labels."""

import numpy as np

from apo_core.types import EpisodeKind
from apo_episodes.inspection.validate import validate
from apo_episodes.reader import read_episode
from apo_experiments.staged.shuffled import permutation, shuffle_labels


def test_steps_change_places_with_those_of_the_same_source():
    order = permutation("PPPPHHHH", np.random.default_rng(0))
    assert sorted(order[:4]) == [0, 1, 2, 3] and sorted(order[4:]) == [4, 5, 6, 7]
    assert order.tolist() != list(range(8))


def test_a_copy_has_the_same_pictures_and_other_actions(write_episode, tmp_path):
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    write_episode("e0", "PPPPPPHHHHHH", directory=source)
    write_episode("d0", "H" * 12, kind=EpisodeKind.DEMONSTRATION, directory=source)
    shuffle_labels(source, target, 0)
    assert sorted(path.name for path in target.iterdir()) == ["d0.h5", "e0.h5"]
    before, after = (read_episode(folder / "e0.h5") for folder in (source, target))
    assert validate(after.path).faults == []
    assert (after.sources, after.outcome, after.info.seed) == (before.sources, before.outcome, before.info.seed)
    assert after.info.tags == {"labels": "shuffled"}
    assert (after.images["front"] == before.images["front"]).all()
    assert (after.executed_actions[:6] != before.executed_actions[:6]).any()
    for part in (slice(0, 6), slice(6, 12)):
        assert sorted(after.executed_actions[part, 0]) == sorted(before.executed_actions[part, 0])
    np.testing.assert_array_equal(np.isnan(after.human_actions), np.isnan(before.human_actions))


def test_a_folder_that_is_there_is_kept(write_episode, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_episode("e0", "PPPPHHHH", directory=source)
    shuffle_labels(source, target, 0)
    kept = (target / "e0.h5").read_bytes()
    shuffle_labels(source, target, 1)
    assert (target / "e0.h5").read_bytes() == kept
