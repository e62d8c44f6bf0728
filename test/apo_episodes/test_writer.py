from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.errors import ConfigError, EpisodeFormatError, ObservationError
from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.reader import list_episodes, read_episode
from apo_episodes.writer import EpisodeWriter

SUCCESS = EpisodeOutcome(Outcome.SUCCESS, "task_success", terminated=True, truncated=False)


def test_a_file_of_which_nothing_optional_is_known_has_none(write):
    path = write()
    episode = read_episode(path)
    assert episode.policy_tokens is None and episode.task_remaining is None
    with h5py.File(path) as f:
        assert "policy_tokens" not in f["action"] and "task" not in f


def test_a_fact_of_dropped_steps_alone_is_not_in_the_file(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    for tick in range(1, 31):
        facts = {"policy_tokens": np.arange(7), "task_remaining": 0.5} if tick > 4 else {}
        writer.append(replace(make_step(tick), **facts))
    writer.truncate(4)
    episode = read_episode(writer.finish(SUCCESS))
    assert episode.num_steps == 4 and episode.policy_tokens is None and episode.task_remaining is None


@pytest.mark.parametrize("tokens", [np.arange(6), np.arange(8), np.zeros(7), np.full(7, -1), np.full(7, 2**31)])
def test_malformed_tokens_are_unknown(write, tokens):
    path = write("PPP", change=lambda index, step: replace(step, policy_tokens=np.arange(7) if index else tokens))
    assert read_episode(path).policy_tokens.tolist() == [[-1] * 7, list(range(7)), list(range(7))]


def test_tokens_without_the_policys_action_are_unknown(write):
    path = write("OP", change=lambda _, step: replace(step, policy_tokens=np.arange(7)))
    assert read_episode(path).policy_tokens.tolist() == [[-1] * 7, list(range(7))]


@pytest.mark.parametrize("remaining", [np.nan, np.inf, -0.5])
def test_remaining_is_unknown_unless_finite_and_not_negative(write, remaining):
    path = write(change=lambda _, step: replace(step, task_remaining=remaining))
    assert read_episode(path).task_remaining is None


def test_truncate_drops_the_last_steps(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    for tick in range(1, 31):
        writer.append(make_step(tick))
    writer.truncate(4)
    assert read_episode(writer.finish(SUCCESS)).ticks.tolist() == [1, 2, 3, 4]


def test_only_finished_files_are_listed(tmp_path, write, small_contract, make_info, make_step):
    finished = write(episode_id="b", folder=tmp_path), write(episode_id="a", folder=tmp_path)
    running = EpisodeWriter(tmp_path, make_info("c"), small_contract)
    running.append(make_step(1))
    assert list_episodes(tmp_path) == sorted(finished)
    with pytest.raises(EpisodeFormatError):
        read_episode(running.partial_path)
    running.discard()
    assert list_episodes(tmp_path) == sorted(finished)
    assert not running.partial_path.exists()


def test_abandoned_file_stays_partial(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    writer.append(make_step(1))
    writer.abandon()
    assert writer.partial_path.exists() and list_episodes(tmp_path) == []


def test_existing_episode_is_never_overwritten(write):
    write()
    with pytest.raises(FileExistsError):
        write()


@pytest.mark.parametrize("episode_id", ["", "../e", "a/b", ".hidden", "x" * 129])
def test_bad_ids_are_rejected(tmp_path, small_contract, make_info, episode_id):
    with pytest.raises(ConfigError, match="episode_id"):
        EpisodeWriter(tmp_path, make_info(episode_id), small_contract)


def test_unknown_compression_is_rejected(tmp_path, small_contract, make_info):
    with pytest.raises(ConfigError, match="image_compression"):
        EpisodeWriter(tmp_path, make_info(), small_contract, "zip")


def test_misfitting_step_leaves_the_file_intact(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    writer.append(make_step(1))
    wrong = make_step(2)
    wrong.observation.state["width"][0] = np.nan
    with pytest.raises(ObservationError):
        writer.append(wrong)
    writer.append(make_step(3))
    assert read_episode(writer.finish(SUCCESS)).ticks.tolist() == [1, 3]
