import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_episodes.curate.datasets import write_folder, write_folders
from apo_episodes.files import read_all


def test_the_copies_are_the_files(write, tmp_path):
    paths = [write(episode_id="a"), write(episode_id="b")]
    written = write_folder(read_all(paths), tmp_path / "out")
    assert written == [tmp_path / "out" / "a.h5", tmp_path / "out" / "b.h5"]
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in paths]
    assert not written[0].samefile(paths[0])


def test_links_take_no_space(write, tmp_path):
    path = write()
    (linked,) = write_folder(read_all([path]), tmp_path / "out", link=True)
    assert linked.samefile(path)


def test_parts_become_folders(write, tmp_path):
    a, b = read_all([write(episode_id="a"), write(episode_id="b")])
    assert write_folders({"train": [b], "valid": [a]}, tmp_path / "out") == {
        "train": [tmp_path / "out" / "train" / "b.h5"],
        "valid": [tmp_path / "out" / "valid" / "a.h5"],
    }
    assert (tmp_path / "out" / "valid" / "a.h5").is_file()


def test_a_file_gets_the_name_of_its_episode(write, tmp_path):
    path = write(episode_id="a")
    renamed = path.rename(path.with_name("other.h5"))
    assert write_folder(read_all([renamed]), tmp_path / "out") == [tmp_path / "out" / "a.h5"]


@pytest.mark.parametrize("parts", [{"": []}, {"train": [], "valid": []}])
def test_an_empty_part_is_rejected(tmp_path, parts):
    with pytest.raises(EpisodeToolError, match="no episode for"):
        write_folders(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_contracts_and_ids_are_checked_before_anything_is_written(write, tmp_path, small_contract):
    other = contract_from_dict({**small_contract.as_dict(), "frame_id": "world"}, "other")
    mixed = read_all([write(episode_id="a"), write(episode_id="b", contract=other)])
    with pytest.raises(EpisodeToolError, match="in frame_id"):
        write_folder(mixed, tmp_path / "out")
    twice = read_all([write(episode_id="c"), write(episode_id="c", folder=tmp_path / "more")])
    with pytest.raises(EpisodeToolError, match="episode 'c' is in"):
        write_folder(twice, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_kept(write, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(EpisodeToolError, match="exists already"):
        write_folder(read_all([write()]), tmp_path / "out")
