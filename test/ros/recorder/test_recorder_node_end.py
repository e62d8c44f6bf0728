"""How an episode of the recorder's process begins and ends, and what is left when it cannot."""

import math
import signal

import numpy as np
from recorder_cell import PERIOD_NS, WAIT_S

from apo_core.ros.conversions import to_stamp
from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.reader import read_episode
from apo_episodes.recovery import list_partial, recover_episode


def test_end_waits_for_the_last_command_and_takes_none_after_it(launch, cell, episodes):
    launch(end_wait_s=WAIT_S)
    cell.start()
    for tick in range(1, 5):
        cell.tick(tick)
    future = cell.end_async(until=6)
    cell.wait_taken(4)
    assert not future.done()
    for tick in range(5, 9):
        cell.tick(tick)
    cell.spin_until(future.done)
    assert future.result().accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 4, 5, 6]
    assert episode.losses["commands_lost"] == 0


def test_steps_after_the_last_observation_are_cut_off_again(launch, cell, episodes):
    launch()
    cell.start()
    for tick in range(1, 9):
        cell.tick(tick)
    cell.wait_taken(8)
    assert cell.end("FAILURE", until=6, truncated=True).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 4, 5, 6]
    assert episode.outcome == EpisodeOutcome(Outcome.FAILURE, "requested", terminated=False, truncated=True)


def test_interrupt_keeps_the_running_episode(launch, cell, episodes):
    process = launch()
    cell.start()
    for tick in range(1, 11):
        cell.tick(tick)
    cell.wait_taken(10)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    (episode,) = episodes()
    assert episode.ticks.tolist() == list(range(1, 11))
    assert episode.outcome == EpisodeOutcome(Outcome.UNLABELED, "recorder_stopped", False, False)
    assert cell.event("SAVED").steps == 10


def test_requests_out_of_turn_are_rejected_with_a_reason(launch, cell, episodes):
    launch()
    assert cell.end().message == "no episode is being recorded"
    assert "must be of the form key=value" in cell.start(tags=["round"]).message
    first = cell.start()
    assert first.accepted
    assert "end it first" in cell.start().message
    assert "outcome = 'GOOD' must be one of" in cell.end("GOOD").message
    cell.tick(1)
    cell.wait_taken(1)
    assert cell.end("DISCARD").accepted
    assert cell.event("DISCARDED").episode_id == first.episode_id
    assert episodes() == []
    assert cell.start().accepted
    empty = cell.end()
    assert not empty.accepted and "no step was recorded" in empty.message


def test_unusable_folder_fails_the_episode_and_the_recorder_goes_on(launch, cell, episodes, tmp_path):
    launch()
    blocker = tmp_path / "episodes" / ".partial"
    blocker.write_text("a file where the folder should be")
    rejected = cell.start()
    assert not rejected.accepted and "FileExistsError" in rejected.message
    assert "FileExistsError" in cell.event("FAILED").reason
    assert "FileExistsError" in cell.end().message
    blocker.unlink()
    assert cell.start().accepted
    cell.tick(1)
    assert cell.end(until=1).accepted
    assert [episode.num_steps for episode in episodes()] == [1]


def test_auto_turns_every_trial_into_an_episode(launch, cell, episodes):
    launch(auto=True, task="Stack")
    for trial, first, success in ((1, 10, True), (2, 20, False)):
        for tick in range(first, first + 4):
            over = tick == first + 3
            cell.tick(tick)  # the answer to the last observation is not executed any more
            facts = {"success": over and success, "truncated": over and not success}
            facts["remaining"] = math.nan if tick == 11 else tick / 8
            facts |= {"stages": ["grasped", "stacked"], "stages_reached": [tick > first, False]}
            last = to_stamp((tick - 1) * PERIOD_NS)
            cell.status(tick, trial, not over, last_observation_stamp=last, **facts)
    cell.spin_until(lambda: [event.event for event in cell.events].count("SAVED") == 2)
    first, second = episodes()
    assert first.ticks.tolist() == [10, 11, 12] and second.ticks.tolist() == [20, 21, 22]
    np.testing.assert_array_equal(first.task_remaining, [10 / 8, np.nan, 12 / 8])
    assert second.task_remaining.tolist() == [20 / 8, 21 / 8, 22 / 8]
    assert first.stage_names == second.stage_names == ("grasped", "stacked")
    assert first.task_stages.tolist() == second.task_stages.tolist() == [[0, 0], [1, 0], [1, 0]]
    assert first.outcome == EpisodeOutcome(Outcome.SUCCESS, "task_success", terminated=True, truncated=False)
    assert second.outcome == EpisodeOutcome(Outcome.FAILURE, "step_limit", terminated=False, truncated=True)
    assert (first.info.task, first.info.seed, second.info.seed) == ("Stack", 61, 62)


def test_killed_recorder_leaves_an_episode_to_recover(launch, cell, episodes, tmp_path):
    process = launch()
    cell.start()
    for tick in range(1, 11):
        cell.tick(tick)
    cell.wait_taken(10)
    cell.spin_until(lambda: cell.diagnostics.get("steps_waiting") == "0" and cell.diagnostics["episode"])
    process.kill()
    process.wait(WAIT_S)
    assert episodes() == []
    (journal,) = list_partial(tmp_path / "episodes")
    recovered = read_episode(recover_episode(journal))
    assert recovered.ticks.tolist() == list(range(1, len(recovered.ticks) + 1)) and recovered.num_steps >= 9
    assert (recovered.info.operator, recovered.outcome.reason) == ("ann", "recovered")
