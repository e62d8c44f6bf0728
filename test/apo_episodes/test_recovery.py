"""What a crash leaves becomes an episode: all whole steps, whatever is torn behind them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.reader import list_episodes, read_episode, verify_checksums
from apo_episodes.recovery import list_partial, recover_episode
from apo_episodes.writer import EpisodeWriter


@pytest.fixture
def crashed(tmp_path, small_contract, make_info, make_step):
    """(steps) -> journal of a recording that was given up."""

    def make(steps=30, compression="zstd"):
        writer = EpisodeWriter(tmp_path, make_info(), small_contract, compression)
        for tick in range(1, steps + 1):
            writer.append(make_step(tick))
        writer.abandon()
        return writer.partial_path

    return make


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none", "jpeg"])
def test_every_step_is_recovered(tmp_path, crashed, make_info, make_step, compression):
    journal = crashed(compression=compression)
    assert list_partial(tmp_path) == [journal] and list_episodes(tmp_path) == []
    path = recover_episode(journal)
    episode = read_episode(path)
    assert path == tmp_path / "e1.h5" and list_episodes(tmp_path) == [path] and list_partial(tmp_path) == []
    assert episode.info == make_info()
    assert episode.outcome == EpisodeOutcome(Outcome.UNLABELED, "recovered", terminated=False, truncated=False)
    assert episode.ticks.tolist() == list(range(1, 31))
    assert episode.losses == {"frames_recorded": 30, "commands_lost": 0, "frames_lost": 0}
    step = make_step(30)
    if compression != "jpeg":
        np.testing.assert_array_equal(episode.images["front"][29], step.observation.images["front"])
    np.testing.assert_array_equal(episode.executed_actions[29], step.executed_action)
    assert np.isnan(episode.human_actions).all() and episode.reasons[29] == "because 30"
    assert verify_checksums(path) == []


def test_torn_record_costs_what_is_behind_it(crashed):
    journal = crashed()
    content = journal.read_bytes()
    for size in range(len(content) - 400, len(content), 37):
        journal.write_bytes(content[:size])
        path = recover_episode(journal)
        assert read_episode(path).num_steps in (28, 29)
        path.unlink()


def test_flipped_bit_ends_the_journal_there(crashed):
    journal = crashed()
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 1
    journal.write_bytes(content)
    episode = read_episode(recover_episode(journal))
    assert 10 <= episode.num_steps <= 20
    assert episode.ticks.tolist() == list(range(1, episode.num_steps + 1))


def test_running_recording_is_left_alone(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    writer.append(make_step(1))
    with pytest.raises(EpisodeFormatError, match="still being recorded"):
        recover_episode(writer.partial_path)
    assert read_episode(writer.finish(EpisodeOutcome(Outcome.SUCCESS, "t", True, False))).num_steps == 1


def test_published_episode_outlives_its_journal(tmp_path, crashed):
    journal = crashed()
    content = journal.read_bytes()
    path = recover_episode(journal)
    episode = path.read_bytes()
    journal.write_bytes(content)
    assert recover_episode(journal) == path
    assert path.read_bytes() == episode and not journal.exists()


def test_journal_without_a_step_stays(crashed):
    journal = crashed(steps=0)
    with pytest.raises(EpisodeFormatError, match="holds no whole step"):
        recover_episode(journal)
    assert journal.exists() and [p.name for p in journal.parent.iterdir()] == [journal.name]


@pytest.mark.parametrize("content", [b"", b"apo.journal\n", b"something else", b"apo.journal\n" + b"\xff" * 100])
def test_other_files_are_rejected(tmp_path, content):
    journal = tmp_path / ".partial" / "e1.journal"
    journal.parent.mkdir()
    journal.write_bytes(content)
    with pytest.raises(EpisodeFormatError):
        recover_episode(journal)
    with pytest.raises(EpisodeFormatError):
        recover_episode(tmp_path / "absent.journal")


def test_journal_of_another_name_is_rejected(crashed):
    journal = crashed()
    moved = journal.rename(journal.with_name("other.journal"))
    with pytest.raises(EpisodeFormatError, match="of its name"):
        recover_episode(moved)


def test_gaps_in_the_tick_are_losses(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    for tick in (3, 4, 7):
        writer.append(make_step(tick))
    writer.abandon()
    episode = read_episode(recover_episode(writer.partial_path))
    assert episode.losses == {"frames_recorded": 3, "commands_lost": 2, "frames_lost": 2}


def test_journal_of_another_contract_is_rejected(tmp_path, small_contract, make_info, make_step):
    data = json.loads(small_contract.json)
    data["images"]["wrist"] = dict(data["images"]["front"], topic="wrist")
    writer = EpisodeWriter(tmp_path, make_info(), contract_from_dict(data, "two cameras"))
    step = make_step(1)
    step.observation.images["wrist"] = step.observation.images["front"]
    writer.append(step)
    writer.abandon()
    with pytest.raises(EpisodeFormatError, match="not a journal of an episode"):
        recover_episode(writer.partial_path)
    assert writer.partial_path.exists()


def test_optional_facts_are_recovered(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    for tick in range(1, 31):
        facts = {"policy_tokens": np.arange(tick, tick + 7), "task_remaining": tick / 8} if tick % 2 else {}
        facts["task_stages"] = {"grasped": tick > 5} if tick % 2 else None
        writer.append(replace(make_step(tick), **facts))
    writer.abandon()
    path = recover_episode(writer.partial_path)
    episode = read_episode(path)
    assert episode.policy_tokens[[0, 1, 28]].tolist() == [list(range(1, 8)), [-1] * 7, list(range(29, 36))]
    np.testing.assert_array_equal(episode.task_remaining[[0, 1, 28]], np.float32([1 / 8, np.nan, 29 / 8]))
    assert (episode.stage_names, episode.task_stages[[0, 1, 28], 0].tolist()) == (("grasped",), [0, -1, 1])
    assert verify_checksums(path) == []


def test_a_journal_without_them_is_recovered_without_them(crashed):
    episode = read_episode(recover_episode(crashed()))
    assert episode.policy_tokens is None and episode.task_remaining is None
