from datetime import UTC, datetime

import numpy as np
import pytest

from apo_core.types import OperatorEvent, Outcome, TaskProgress
from apo_recorder.config import RecorderConfig
from apo_recorder.episode_state import DropCounts
from apo_recorder.recording import Recording

TICK = 100_000_000
UTC_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Rig:
    """A recording and the streams around it; the steady clock reads as the stamps."""

    def __init__(self, contract, writer, make_command, make_observation, **config):
        self.writer, self._command, self._observation = writer, make_command, make_observation
        self.ended: list[tuple[str, str]] = []
        settings = RecorderConfig(**{"lockstep": True, **config})
        self.recording = Recording(settings, contract, writer, lambda *end: self.ended.append(end))

    def observe(self, tick: int, steady_tick: int | None = None) -> None:
        observation = self._observation(tick * TICK)
        now_ns = (tick if steady_tick is None else steady_tick) * TICK
        for name, value in (observation.images | observation.state).items():
            self.recording.on_sample(name, tick * TICK, value, now_ns)

    def command(self, tick: int, **changes) -> None:
        self.recording.on_command(self._command(tick, **changes))

    def tick(self, tick: int) -> None:
        self.observe(tick)
        self.command(tick)

    def progress(self, tick: int, trial: int, running: bool, **changes) -> None:
        fields = {"success": False, "truncated": False, "last_observation_stamp_ns": (tick - 1) * TICK, **changes}
        status = TaskProgress(stamp_ns=tick * TICK, trial=trial, seed=trial, running=running, **fields)
        self.recording.on_progress(status, tick * TICK, UTC_NOW.replace(microsecond=tick))

    def begin(self) -> str:
        return self.recording.begin("Lift", "lift it", "ann", 5, ["round=1"], UTC_NOW)

    def ticks(self) -> list[list[int]]:
        return [[step.tick for step in steps] for steps in self.writer.steps]


@pytest.fixture
def make_rig(small_contract, writer, make_command, make_observation):
    return lambda **config: Rig(small_contract, writer, make_command, make_observation, **config)


def test_episode_from_start_to_end(make_rig, small_contract):
    rig = make_rig()
    rig.tick(1)
    assert rig.begin() == rig.recording.episode_id == "20260102T030405_000000_Lift"
    for tick in (2, 3, 4):
        rig.tick(tick)
    assert rig.ended == []
    rig.recording.request_end(Outcome.SUCCESS, "done", 4 * TICK)
    assert rig.recording.episode_id == ""
    assert rig.ended == [("20260102T030405_000000_Lift", "done")]
    rig.tick(5)
    assert rig.ticks() == [[2, 3, 4]]
    (info,), (end,) = rig.writer.infos, rig.writer.ends
    assert (info.task, info.instruction, info.operator, info.seed) == ("Lift", "lift it", "ann", 5)
    assert info.tags == {"round": "1"} and info.contract_json == small_contract.json
    assert info.created_utc == "2026-01-02T03:04:05.000000+00:00"
    assert end.outcome.outcome is Outcome.SUCCESS and end.drops == DropCounts()


def test_the_robot_and_its_site_are_tags(make_rig):
    rig = make_rig(robot="left", site="lab 2")
    rig.begin()
    assert rig.writer.infos[0].tags == {"robot": "left", "site": "lab 2", "round": "1"}


def test_requests_out_of_turn_are_rejected(make_rig):
    rig = make_rig()
    with pytest.raises(ValueError, match="no episode is being recorded"):
        rig.recording.request_end(Outcome.SUCCESS, "done", 0)
    rig.begin()
    with pytest.raises(ValueError, match="end it first"):
        rig.begin()


def test_end_waits_for_the_observation_of_its_last_command(make_rig):
    rig = make_rig()
    rig.begin()
    rig.tick(1)
    rig.command(2)
    rig.recording.request_end(Outcome.SUCCESS, "done", 2 * TICK, until_ns=2 * TICK)
    assert rig.writer.ends == []
    rig.observe(2)
    assert rig.ticks() == [[1, 2]] and len(rig.writer.ends) == 1


def test_step_the_writer_cannot_take_is_a_loss(make_rig):
    rig = make_rig()
    rig.begin()
    rig.tick(1)
    rig.writer.has_room = False
    rig.tick(2)
    rig.recording.request_end(Outcome.SUCCESS, "done", 2 * TICK)
    assert rig.writer.ends[0].drops == DropCounts(frames_lost=1, steps_dropped=1)


def test_out_of_order_samples_are_counted_within_the_episode_only(make_rig):
    rig = make_rig()
    rig.tick(1)
    rig.observe(1)
    rig.begin()
    rig.observe(1)
    rig.tick(2)
    rig.recording.request_end(Outcome.SUCCESS, "done", 2 * TICK)
    assert rig.writer.ends[0].drops == DropCounts(out_of_order=3)


def test_stop_keeps_what_has_come(make_rig):
    rig = make_rig()
    rig.begin()
    rig.tick(1)
    rig.command(2)  # its observation will not come any more
    rig.recording.stop("recorder_stopped", 2 * TICK)
    (end,) = rig.writer.ends
    assert (end.outcome.outcome, end.outcome.reason) == (Outcome.UNLABELED, "recorder_stopped")
    assert rig.ticks() == [[1]] and end.drops == DropCounts(frames_lost=1, steps_unpaired=1)


@pytest.mark.parametrize(
    ("after", "reason", "out_of_order"), [(103, "clock_set_back", 3), (5003, "clock_set_forward", 0)]
)
def test_a_step_of_the_clock_breaks_the_episode_off_and_the_next_is_whole(make_rig, after, reason, out_of_order):
    rig = make_rig()
    rig.begin()
    for tick in (501, 502):
        rig.tick(tick)
    rig.command(503)  # its observation has the stamp of the clock before
    rig.observe(after, steady_tick=504)
    (end,) = rig.writer.ends
    assert (end.outcome.outcome, end.outcome.reason) == (Outcome.UNLABELED, reason)
    assert rig.ticks() == [[501, 502]]
    assert end.drops == DropCounts(frames_lost=1, steps_unpaired=1, out_of_order=out_of_order)
    assert rig.recording.clock_steps == 1
    rig.begin()
    for step in (1, 2, 3):
        rig.observe(after + step, steady_tick=504 + step)
        rig.command(after + step)
    rig.recording.request_end(Outcome.SUCCESS, "done", (after + 3) * TICK)
    assert rig.ticks()[1] == [after + 1, after + 2, after + 3]
    assert rig.writer.ends[1].drops == DropCounts()


def test_a_command_whose_stamp_goes_back_breaks_the_episode_off(make_rig):
    rig = make_rig(lockstep=False)
    rig.begin()
    for tick in (501, 502):
        rig.tick(tick)
    rig.observe(503)
    rig.command(503, stamp_ns=2 * TICK)  # the arbiter's clock alone was set back
    (end,) = rig.writer.ends
    assert (end.outcome.outcome, end.outcome.reason) == (Outcome.UNLABELED, "clock_set_back")
    assert rig.ticks() == [[501, 502]]
    rig.begin()
    for tick in (504, 505):
        rig.tick(tick)
    rig.recording.request_end(Outcome.SUCCESS, "done", 505 * TICK)
    assert rig.ticks()[1] == [504, 505]


def test_stop_without_an_episode_does_nothing(make_rig):
    rig = make_rig()
    rig.recording.stop("recorder_stopped", 0)
    assert rig.writer.ends == []


def test_aborted_episode_makes_room_for_the_next(make_rig):
    rig = make_rig()
    rig.begin()
    rig.recording.abort("another")
    assert rig.recording.episode_id
    rig.recording.abort(rig.recording.episode_id)
    assert not rig.recording.episode_id


def test_auto_records_every_trial(make_rig):
    rig = make_rig(auto=True, task="Stack")
    for trial, first in ((1, 10), (2, 20)):
        for tick in (first, first + 1, first + 2):
            rig.tick(tick)  # the command overtakes the status of its tick
            rig.progress(tick, trial, running=tick < first + 2, success=True)
    assert rig.ticks() == [[10, 11], [20, 21]]
    assert [end.outcome.outcome for end in rig.writer.ends] == [Outcome.SUCCESS] * 2
    assert [(info.task, info.seed) for info in rig.writer.infos] == [("Stack", 1), ("Stack", 2)]


def test_the_setting_of_the_simulation_is_a_tag(make_rig):
    rig = make_rig(auto=True)
    rig.progress(1, trial=1, running=True, perturbation='{"distractors": 2}')
    rig.tick(1)
    rig.progress(2, trial=1, running=False, perturbation='{"distractors": 2}')
    rig.progress(3, trial=2, running=True)
    assert [info.tags for info in rig.writer.infos] == [{"perturbation": '{"distractors": 2}'}, {}]


def test_auto_separates_a_cut_off_trial_from_the_next(make_rig):
    rig = make_rig(auto=True)
    rig.tick(1)
    rig.progress(1, 1, running=True)
    rig.command(2)
    rig.tick(20)
    rig.progress(20, 2, running=True)
    rig.recording.stop("recorder_stopped", 20 * TICK)
    assert rig.ticks() == [[1], [20]]
    assert [end.outcome.reason for end in rig.writer.ends] == ["trial_abandoned", "recorder_stopped"]
    assert np.all(rig.writer.steps[1][0].executed_action == np.float32(0.02))


def test_seconds_before_the_start_are_kept(make_rig):
    rig = make_rig(pre_roll_s=0.35)
    for tick in range(1, 8):
        rig.tick(tick)
    rig.begin()
    rig.tick(8)
    rig.recording.request_end(Outcome.SUCCESS, "done", 8 * TICK)
    assert rig.ticks() == [[4, 5, 6, 7, 8]]
    assert rig.writer.infos[0].pre_roll_steps == 4


def test_steps_of_an_episode_are_not_kept_for_the_next(make_rig):
    rig = make_rig(pre_roll_s=10.0)
    rig.tick(1)
    rig.begin()
    rig.tick(2)
    rig.recording.request_end(Outcome.SUCCESS, "done", 2 * TICK)
    rig.tick(3)
    rig.recording.begin("Lift", "lift it", "ann", 5, [], UTC_NOW.replace(microsecond=1))
    assert rig.ticks() == [[1, 2], [3]]


def test_restarted_arbiter_begins_the_kept_seconds_anew(make_rig):
    rig = make_rig(pre_roll_s=10.0)
    for tick, stamp in ((8, 8), (9, 9), (1, 10), (2, 11)):
        rig.observe(stamp)
        rig.command(tick, observation_ns=stamp * TICK, receive_ns=stamp * TICK, stamp_ns=stamp * TICK)
    rig.begin()
    assert rig.ticks() == [[1, 2]]


def test_streams_are_counted_from_the_start_to_the_end(make_rig):
    rig = make_rig()
    rig.tick(1)
    rig.begin()
    for tick in (2, 3, 5, 6):
        rig.tick(tick)
    rig.observe(6)
    rig.recording.on_rejected("width", "it has no joints")
    rig.recording.request_end(Outcome.SUCCESS, "done", 6 * TICK)
    rig.tick(7)
    streams = rig.writer.ends[0].streams
    front = {"received": 5, "duplicates": 1, "out_of_order": 0, "gaps": 1, "dropped": 1, "refused": 0, "rate_hz": 10.0}
    assert streams["front"] == streams["ee_pose"] == front
    assert streams["width"] == front | {"refused": 1}


def press(rig, event: str, tick: int) -> str:
    return rig.recording.on_operator_event(OperatorEvent(event), tick * TICK, UTC_NOW.replace(microsecond=tick))


def test_buttons_start_and_end_episodes(make_rig):
    rig = make_rig(task="Stack", operator_name="bea")
    outcomes = {"success": Outcome.SUCCESS, "failure": Outcome.FAILURE, "discard": None}
    for tick, event in enumerate(outcomes, 1):
        assert press(rig, "start", tick) == ""
        rig.tick(tick)
        assert press(rig, event, tick) == ""
    assert rig.ticks() == [[1], [2], [3]]
    assert [end.outcome and end.outcome.outcome for end in rig.writer.ends] == list(outcomes.values())
    assert [end.reason for end in rig.writer.ends] == ["operator_success", "operator_failure", "operator_discard"]
    assert {(info.task, info.operator) for info in rig.writer.infos} == {("Stack", "bea")}


def test_empty_texts_are_replaced_by_the_configuration(make_rig):
    rig = make_rig(task="Stack", instruction="stack them", operator_name="bea")
    rig.recording.begin("", "lift it", "", 0, (), UTC_NOW)
    info = rig.writer.infos[0]
    assert (info.task, info.instruction, info.operator) == ("Stack", "lift it", "bea")


def test_events_out_of_turn_are_rejected_with_the_reason(make_rig):
    rig = make_rig()
    assert press(rig, "success", 1) == "no episode is being recorded"
    assert press(rig, "gripper_toggle", 1) == press(rig, "estop", 1) == ""
    press(rig, "start", 2)
    assert "end it first" in press(rig, "start", 3)


def test_undo_button_takes_the_last_episode_back(make_rig):
    rig = make_rig()
    assert press(rig, "undo_last", 1) == ""
    assert rig.writer.undone == 1


def test_what_an_episode_misses_is_known_while_it_runs(make_rig):
    rig = make_rig()
    rig.begin()
    rig.tick(1)
    rig.tick(4)
    assert rig.recording.drops == DropCounts(commands_lost=2, frames_lost=2)


def test_what_is_left_of_the_task_is_in_the_step_of_its_observation(make_rig):
    rig = make_rig(auto=True)
    for tick in (1, 2, 3):
        rig.tick(tick)
        rig.progress(tick, trial=1, running=True, remaining=None if tick == 2 else tick / 8)
    assert [step.task_remaining for step in rig.writer.steps[0]] == [1 / 8, None, 3 / 8]


IMAGE_FAULT = "image 'front' on front/image_raw is rgb8 8 x 6, the contract requires rgb8 4 x 6 (config/contract.yaml)"


def test_steps_lost_by_messages_that_do_not_fit_have_their_reason(make_rig):
    rig = make_rig(observation_wait_s=0.0)
    rig.begin()
    rig.tick(1)
    for tick in (2, 3, 4):
        rig.recording.on_rejected("front", IMAGE_FAULT)
        rig.command(tick)
    assert rig.recording.causes == {IMAGE_FAULT: 3}
    rig.tick(5)
    rig.command(6)
    rig.recording.advance(6 * TICK)
    rig.recording.request_end(Outcome.SUCCESS, "done", 6 * TICK)
    rig.recording.advance(7 * TICK)
    (end,) = rig.writer.ends
    assert end.causes == {IMAGE_FAULT: 3, "no observation of the command's stamp": 1}
    assert (end.drops.steps_unpaired, end.note, rig.ticks()) == (4, "", [[1, 5]])
    assert rig.recording.causes == {}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"observation_ns": 0}, "the arbiter knew no observation"),
        ({"action": np.full(7, np.nan, np.float32)}, "the executed command is not finite"),
        (
            {"observation_ns": 3 * TICK},
            "no observation of at most pairing_tolerance_s = 0.075 before the command's (config/recorder.yaml)",
        ),
    ],
)
def test_steps_lost_before_the_writer_have_their_reason(make_rig, changes, why):
    rig = make_rig(lockstep=False, observation_wait_s=0.0)
    rig.begin()
    rig.observe(1)
    rig.command(1, **changes)
    assert rig.recording.causes == {why: 1}


def test_steps_lost_by_a_slow_disk_have_their_reason(make_rig):
    rig = make_rig(queue_steps=3)
    rig.writer.has_room = False
    rig.begin()
    rig.tick(1)
    assert rig.recording.causes == {"the disk was too slow for queue_steps = 3": 1}


def test_dropped_commands_are_a_reason_of_the_running_episode_alone(make_rig):
    rig = make_rig()
    rig.recording.on_rejected_command("got 6 values")
    rig.begin()
    for _ in range(2):
        rig.recording.on_rejected_command("got 6 values")
    rig.recording.request_end(Outcome.SUCCESS, "done", TICK)
    rig.recording.advance(TICK)
    assert rig.writer.ends[0].causes == {"a command was dropped: got 6 values": 2}


def test_an_episode_without_commands_is_named_while_it_runs_and_at_its_end(make_rig):
    rig = make_rig()
    assert rig.recording.silence(99 * TICK) == ""
    rig.begin()
    rig.observe(1)
    assert rig.recording.silence(30 * TICK) == ""
    assert rig.recording.silence(41 * TICK) == "no command for 4 s: is the arbiter active?"
    rig.recording.request_end(Outcome.SUCCESS, "done", 42 * TICK)
    rig.recording.advance(42 * TICK)
    assert rig.writer.ends[0].note == "no command of the arbiter arrived"
    assert rig.recording.silence(99 * TICK) == ""


def test_a_command_ends_the_silence(make_rig):
    rig = make_rig()
    rig.begin()
    rig.tick(1)
    assert rig.recording.silence(31 * TICK) == "no command for 3 s: is the arbiter active?"
    rig.tick(32)
    assert rig.recording.silence(33 * TICK) == ""
