import os

import h5py
import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_episodes.files import (
    extra_module,
    find_episodes,
    frame_blocks,
    new_file,
    new_folder,
    one_contract,
    read_all,
    unique_ids,
)
from apo_episodes.reader import list_episodes, read_episode


def test_a_folder_stands_for_its_episodes_and_nothing_is_named_twice(write, tmp_path):
    first, second = write(episode_id="a"), write(episode_id="b")
    assert find_episodes([second, tmp_path / "episodes"]) == [second, first]


def test_every_missing_path_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(EpisodeToolError) as caught:
        find_episodes([tmp_path / "none.h5", tmp_path / "empty"])
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'none.h5'}: does not exist",
        f"{tmp_path / 'empty'}: holds no episode file (*.h5)",
    ]


def test_every_unreadable_file_is_named(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.h5").write_bytes(b"no HDF5")
    with pytest.raises(EpisodeToolError) as caught:
        read_all([tmp_path / "a.h5", tmp_path / "b.h5"])
    assert len(str(caught.value).splitlines()) == 2


def test_contracts_that_differ_are_named_with_what_differs(write, small_contract):
    other = contract_from_dict({**small_contract.as_dict(), "rate_hz": 20.0}, "other")
    episodes = read_all([write(episode_id="a"), write(episode_id="b", contract=other)])
    assert one_contract(episodes[:1]) == episodes[0].contract
    with pytest.raises(EpisodeToolError, match=r"b\.h5: its contract differs from that of .*a\.h5 in rate_hz"):
        one_contract(episodes)


def test_an_episode_that_is_there_twice_is_named(write, tmp_path):
    episodes = read_all([write(), write(folder=tmp_path / "other")])
    with pytest.raises(EpisodeToolError, match="episode 'e1' is in"):
        unique_ids(episodes)


def test_an_id_that_is_a_path_is_rejected(write):
    path = write()
    with h5py.File(path, "r+") as f:
        f.attrs["episode_id"] = "../outside"
    with pytest.raises(EpisodeToolError, match=r"e1\.h5: episode_id = '\.\./outside' is not a valid file name"):
        unique_ids(read_all([path]))


def test_blocks_of_frames_are_all_frames(write):
    episode = read_episode(write("P" * 30))
    blocks = list(frame_blocks(episode))
    assert blocks[0][0] == 0
    joined = np.concatenate([frames["front"] for _, frames in blocks])
    np.testing.assert_array_equal(joined, episode.images["front"])


def test_a_new_file_appears_when_it_is_whole(tmp_path):
    with new_file(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
        assert partial.name == "a.txt"
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_is_not_whole_is_not_listed(tmp_path):
    with new_file(tmp_path / "a.h5") as partial:
        partial.write_bytes(b"half")
        assert list_episodes(tmp_path) == []
    assert list_episodes(tmp_path) == [tmp_path / "a.h5"]


def test_a_new_folder_appears_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "d") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "f").write_text("x")
        assert not (tmp_path / "d").exists()
    assert (tmp_path / "d" / "inner" / "f").read_text() == "x"
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("maker", [new_file, new_folder])
def test_a_failure_leaves_nothing(tmp_path, maker):
    with pytest.raises(ZeroDivisionError), maker(tmp_path / "a") as partial:
        if maker is new_file:
            partial.write_text("half")
        else:
            (partial / "f").write_text("half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("maker", [new_file, new_folder])
def test_nothing_is_overwritten(tmp_path, maker):
    (tmp_path / "a").write_text("kept")
    with pytest.raises(EpisodeToolError, match="exists already"), maker(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "kept"


def test_what_appeared_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(EpisodeToolError, match="exists already"), new_file(tmp_path / "a") as partial:
        partial.write_text("mine")
        (tmp_path / "a").write_text("theirs")
    assert (tmp_path / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_a_missing_parent_folder_is_named(tmp_path):
    with pytest.raises(EpisodeToolError, match=r"its folder .*none does not exist"), new_file(tmp_path / "none" / "a"):
        pass


def test_a_missing_package_is_reported_with_its_install():
    with pytest.raises(EpisodeToolError) as caught:
        extra_module("no_such_module_of_apo", "some-package", "export")
    assert "'some-package'" in str(caught.value)
    assert "pip install -c requirements/lock.txt -r requirements/export.in" in str(caught.value)
