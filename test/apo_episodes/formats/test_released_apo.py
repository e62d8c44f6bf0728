from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeToolError
from apo_core.types import EpisodeKind
from apo_episodes.files import read_all
from apo_episodes.formats.released_apo import ApoOptions, export_apo
from apo_episodes.reader import read_episode


def test_an_interaction_is_what_the_released_reader_expects(write, tmp_path):
    path = write("PHOP")
    episode = read_episode(path)
    (target,) = export_apo(read_all([path]), tmp_path / "out", ApoOptions(size=0))
    assert target == tmp_path / "out" / "e1.hdf5"
    with h5py.File(target) as f:
        data = f["data"]
        # its length and its language are read like this
        assert len(data.keys()) - 1 == 4
        assert data["task_description"][()].decode("utf-8") == "lift the cube"
        assert [int(data[f"timestep_{i}"]["is_human"][()]) for i in range(4)] == [2, 1, 0, 2]
        for index in range(4):
            np.testing.assert_array_equal(data[f"timestep_{index}/action"][:], episode.executed_actions[index])
            np.testing.assert_array_equal(data[f"timestep_{index}/third_obs"][:], episode.images["front"][index])


def test_a_long_rest_of_the_operator_is_skipped(write, tmp_path):
    zeros = np.zeros(7, np.float32)

    def change(index, step):
        return replace(step, human_action=zeros, executed_action=zeros) if 2 <= index < 14 else step

    path = write("PH" + "H" * 12 + "HP", change=change)
    (target,) = export_apo(read_all([path]), tmp_path / "out", ApoOptions(size=0))
    with h5py.File(target) as f:
        found = [int(f[f"data/timestep_{i}/is_human"][()]) for i in range(16)]
    # the gripper moves in the first of the twelve steps
    assert found == [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]


def test_demonstrations_of_a_task_are_one_file(write, tmp_path):
    paths = [
        write("HH", "a", kind=EpisodeKind.DEMONSTRATION),
        write("HHH", "b", kind=EpisodeKind.DEMONSTRATION),
        write("HP", "c"),
        write("H", "d", kind=EpisodeKind.DEMONSTRATION, task="Pick Place/2"),
    ]
    written = export_apo(read_all(paths), tmp_path / "out", ApoOptions(size=0))
    assert [path.name for path in written] == ["Lift.hdf5", "c.hdf5", "Pick_Place_2.hdf5"]
    with h5py.File(written[0]) as f:
        assert list(f) == ["demo_0", "demo_1"]
        assert [len(f[demo].keys()) - 1 for demo in f] == [2, 3]
        assert set(f["demo_0/timestep_1"]) == {"action", "third_obs"}


def test_images_are_scaled(write, tmp_path):
    (target,) = export_apo(read_all([write("P")]), tmp_path / "out", ApoOptions(size=224))
    with h5py.File(target) as f:
        assert f["data/timestep_0/third_obs"].shape == (224, 224, 3)
        assert f["data/timestep_0/third_obs"].dtype == np.uint8


def test_a_dot_in_an_id_would_cut_the_readers_name(write, tmp_path):
    (target,) = export_apo(read_all([write("P", "a.1")]), tmp_path / "out", ApoOptions())
    assert target.name == "a_1.hdf5"
    paths = [write("P", "b.1"), write("P", "b_1")]
    with pytest.raises(EpisodeToolError, match=r"another episode is written as b_1\.hdf5"):
        export_apo(read_all(paths), tmp_path / "two", ApoOptions())
    assert not (tmp_path / "two").exists()


def test_an_unknown_camera_is_named(write, tmp_path):
    with pytest.raises(EpisodeToolError, match=r"e1\.h5: has no camera 'side'; known: front"):
        export_apo(read_all([write()]), tmp_path / "out", ApoOptions(camera="side"))
    assert not (tmp_path / "out").exists()
