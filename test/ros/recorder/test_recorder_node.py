"""The recorder as a process over DDS: what a scripted robot and arbiter send is in the files, losses are counted."""

import subprocess

import numpy as np
import pytest
from node_command import node_command
from recorder_cell import HOLD, HUMAN, PERIOD_NS, POLICY, WAIT_S

from apo_core.ros.conversions import to_ns
from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.reader import verify_checksums


def test_every_step_is_recorded_with_the_source_that_the_command_names(launch, cell, episodes, make_observation):
    launch()
    started = cell.start(tags=["round=2"])
    assert started.accepted, started.message
    sources = [POLICY, POLICY, HUMAN, HUMAN, HOLD, POLICY] * 5
    for tick, source in enumerate(sources, 100):
        cell.tick(tick, source)
    ended = cell.end(until=129)
    assert ended.accepted, ended.message
    (episode,) = episodes()
    assert str(episode.path) == ended.path
    assert episode.info.episode_id == started.episode_id
    assert (episode.info.task, episode.info.instruction, episode.info.operator) == ("Lift", "lift it", "ann")
    assert (episode.info.seed, episode.info.tags) == (5, {"round": "2"})
    assert episode.outcome == EpisodeOutcome(Outcome.SUCCESS, "requested", terminated=True, truncated=False)
    assert list(episode.sources) == sources
    streams = ("front", "ee_pose", "width")
    for stream in streams:
        assert episode.header_stamps_ns[stream].tolist() == episode.stamps_ns["observation"].tolist()
        assert (np.diff(episode.stream_receive_ns[stream]) > 0).all()
        found = {name: episode.streams[stream][name] for name in ("received", "gaps", "duplicates", "refused")}
        assert found == {"received": 30, "gaps": 0, "duplicates": 0, "refused": 0}
    assert episode.clipped == ("vx",) * 30
    assert verify_checksums(ended.path) == []
    assert episode.ticks.tolist() == list(range(100, 130))
    assert episode.adapter_versions.tolist() == [4] * 30
    for index, source in enumerate(sources):
        tick = 100 + index
        observation = make_observation(tick * PERIOD_NS)
        np.testing.assert_array_equal(episode.images["front"][index], observation.images["front"])
        np.testing.assert_array_equal(episode.executed_actions[index], np.full(7, tick / 1000, np.float32))
        assert np.isnan(episode.policy_actions[index]).all() == (source is HOLD)
        assert np.isnan(episode.human_actions[index]).all() == (source is not HUMAN)
        assert episode.reasons[index] == f"tick {tick}"
        tokens = [-1] * 7 if source is HOLD else list(range(tick, tick + 7))
        assert episode.policy_tokens[index].tolist() == tokens
    assert episode.task_remaining is None  # it was not reported
    assert episode.losses == dict.fromkeys(episode.losses, 0) | {"frames_recorded": 30}
    saved = cell.event("SAVED")
    assert [event.event for event in cell.events] == ["STARTED", "ENDED", "SAVED"]
    assert {event.episode_id for event in cell.events} == {started.episode_id}
    assert (list(saved.adapter_versions), to_ns(saved.begin)) == ([4], 100 * PERIOD_NS)
    assert (saved.path, saved.steps, saved.frames_recorded, saved.frames_lost) == (ended.path, 30, 30, 0)
    assert (saved.takeovers, saved.intervention_share) == (5, pytest.approx(1 / 3))


def test_missing_commands_and_observations_are_counted(launch, cell, episodes):
    launch()
    cell.start()
    for tick in range(1, 11):
        if tick != 8:
            cell.observe(tick)
        if tick not in (4, 5):
            cell.command(tick)
    assert cell.end(until=10).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 6, 7, 9, 10]
    losses = episode.losses
    assert (losses["commands_lost"], losses["steps_unpaired"], losses["frames_lost"]) == (2, 1, 3)
    assert cell.event("SAVED").frames_lost == 3


def test_command_that_is_not_finite_is_rejected_and_counted(launch, cell, episodes):
    launch(end_wait_s=WAIT_S)
    cell.start()
    for tick, fill in ((1, None), (2, float("nan")), (3, None), (4, float("inf"))):
        cell.observe(tick)
        cell.command(tick, fill=fill)
    assert cell.end(until=4).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 3]
    assert (episode.losses["steps_dropped"], episode.losses["commands_lost"], episode.losses["frames_lost"]) == (
        2,
        0,
        2,
    )


def test_a_state_that_is_not_finite_is_reported_while_it_is_recorded(launch, cell, episodes):
    launch(end_wait_s=WAIT_S)
    cell.start()
    cell.tick(1)
    for tick in (2, 3):
        cell.observe(tick, width=float("nan"))
        cell.command(tick)

    def reported() -> bool:
        found = [count for key, count in cell.diagnostics.items() if key.startswith("rejected state 'width' is not")]
        return found == ["2"]

    cell.spin_until(reported, "the diagnostics of the rejected steps")
    ended = cell.end(until=3)
    assert ended.accepted and "2 steps were rejected: state 'width' is not finite" in ended.message
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1] and list(episode.rejections.values()) == [2]


def test_seconds_before_the_start_are_kept(launch, cell, episodes):
    launch(pre_roll_s=WAIT_S)
    for tick in range(1, 6):
        cell.tick(tick)
    for _ in range(10):  # the recorder takes a message of each topic between two calls
        assert not cell.end().accepted
    cell.start()
    cell.tick(6)
    assert cell.end(until=6).accepted
    (episode,) = episodes()
    assert episode.ticks.tolist() == [1, 2, 3, 4, 5, 6] and episode.info.pre_roll_steps == 5


def test_losses_are_shown_while_recording(launch, cell):
    launch()
    cell.start()
    for tick in (1, 4):
        cell.tick(tick)
    cell.spin_until(lambda: cell.diagnostics.get("commands_lost") == "2")
    assert cell.diagnostics["episode"] and cell.diagnostics["frames_lost"] == "2"
    assert cell.end(until=4).accepted


def test_wrong_parameters_end_the_process_with_every_fault(ros_domain, tmp_path):
    command = node_command("apo_recorder.recorder_node", {"queue_steps": 0, "end_wait_s": -1.0})
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "queue_steps" in done.stderr and "end_wait_s" in done.stderr


def test_a_picture_of_another_size_is_the_reason_of_lost_steps(launch, cell, episodes):
    launch(end_wait_s=WAIT_S, observation_wait_s=0.1)
    cell.start()
    cell.tick(1)
    for tick in (2, 3):
        cell.observe(tick, image=np.zeros((8, 6, 3), np.uint8))
        cell.command(tick)
    why = "image 'front' on front/image_raw is rgb8 8 x 6, the contract requires rgb8 4 x 6 (config/contract.yaml)"
    cell.spin_until(lambda: cell.diagnostics.get(f"lost {why}") == "2", "the diagnostics of the lost steps")
    assert cell.diagnosis == f"loses steps: {why}"
    ended = cell.end()
    assert ended.accepted and f"2 steps were lost: {why}" in ended.message
    (episode,) = episodes()
    assert (episode.ticks.tolist(), episode.rejections) == ([1], {why: 2})
