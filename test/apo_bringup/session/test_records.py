import math
from types import SimpleNamespace as Message

import pytest

from apo_bringup.session.plan import SessionConfig, Trial
from apo_bringup.session.records import (
    ReloadWindow,
    TrainingProgress,
    count_ticks,
    end_fields,
    episode_record,
    is_over,
    overdue,
    start_fields,
    trial_line,
)
from apo_bringup.session.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_core.types import Outcome, Purpose
from apo_sim_bridge.perturbation.settings import Perturbation, ScenePerturbation

TRIAL = Trial(Purpose.DEPLOYMENT, 1, 2, 10005, with_operator=True)


def tick(number, missed=0, response_ms=30.0):
    return Message(tick=number, ticks_missed=missed, response_ms=response_ms)


def training(state="RUNNING", run_id="r1", step=0, loss=math.nan, eta_s=math.nan, version=0, message="training"):
    return Message(
        state=state,
        run_id=run_id,
        step=step,
        steps=30,
        loss=loss,
        eta_s=eta_s,
        adapter_version=version,
        message=message,
    )


def test_what_is_overdue_names_parameter_value_and_file():
    text = overdue("the end of the trial with seed 10003", "trial_timeout_s", 120.0, "config/session.yaml")
    assert text == (
        "the end of the trial with seed 10003 did not come in time (config/session.yaml: trial_timeout_s = 120.0)"
    )


@pytest.mark.parametrize(("with_operator", "operator_name"), [(True, "scripted"), (False, "")])
def test_a_recording_starts_with_task_seed_and_tags(with_operator, operator_name):
    trial = Trial(Purpose.DEPLOYMENT, 1, 2, 10005, with_operator)
    assert start_fields(SessionConfig(instruction="lift the red cube"), trial) == {
        "task": "Lift",
        "instruction": "lift the red cube",
        "operator_name": operator_name,
        "seed": 10005,
        "tags": ["purpose=deployment", "round=1", "index=2"],
    }


def test_a_perturbed_session_tags_its_recordings():
    config = SessionConfig(perturbation=Perturbation(scene=ScenePerturbation(background="bricks")))
    assert start_fields(config, TRIAL)["tags"][3:] == ['perturbation={"background": "bricks"}']


@pytest.mark.parametrize(
    ("success", "truncated", "outcome", "reason"),
    [(True, False, "SUCCESS", "task_success"), (False, True, "FAILURE", "step_limit")],
)
def test_a_recording_ends_as_the_task_reports(success, truncated, outcome, reason):
    status = Message(success=success, truncated=truncated, last_observation_stamp="stamp")
    assert end_fields(status) == {"outcome": outcome, "reason": reason, "truncated": truncated, "until": "stamp"}


def test_an_episode_has_its_facts_from_the_recorder():
    event = Message(
        episode_id="e7",
        path="/e7.h5",
        outcome="UNLABELED",
        steps=40,
        takeovers=1,
        intervention_share=0.25,
        frames_recorded=80,
        frames_lost=2,
    )
    assert episode_record(TRIAL, 3, event, 1.5) == EpisodeRecord(
        "e7", "/e7.h5", Purpose.DEPLOYMENT, 1, 10005, 3, Outcome.UNLABELED, 40, 1, 0.25, 80, 2, 1.5
    )


@pytest.mark.parametrize(
    ("status", "over"),
    [
        (None, False),
        (Message(trial=4, running=False), False),
        (Message(trial=5, running=True), False),
        (Message(trial=5, running=False), True),
    ],
    ids=["no status", "the trial before", "running", "over"],
)
def test_a_trial_is_over_when_a_later_one_than_before_stopped(status, over):
    assert is_over(status, 4) is over


def test_the_line_of_a_trial():
    status = Message(step=7)
    control = Message(state="HUMAN", reason="operator acts", adapter_version=2, ticks_missed=1)
    assert trial_line(TRIAL, status, control) == (
        "  deployment 3  step   7  HUMAN  (operator acts)  adapter 2  missed 1"
    )
    assert trial_line(TRIAL, None, control) == trial_line(TRIAL, status, None) == ""


def test_ticks_are_counted_and_latencies_only_when_there_are_any():
    record = SessionRecord({})
    count_ticks(record, None)
    assert record.ticks == 0
    none_yet = {"takeover_latency_p50_ms": math.nan, "takeover_latency_p99_ms": math.nan}
    count_ticks(record, Message(tick=50, ticks_missed=1, **none_yet))
    assert (record.ticks, record.ticks_missed, record.takeover_latency_p50_ms) == (50, 1, None)
    count_ticks(record, Message(tick=60, ticks_missed=1, takeover_latency_p50_ms=2.0, takeover_latency_p99_ms=4.0))
    assert (record.ticks, record.takeover_latency_p50_ms, record.takeover_latency_p99_ms) == (60, 2.0, 4.0)


def test_a_reload_is_due_once_after_five_ticks():
    window = ReloadWindow()
    due = []
    for number in range(7):
        window.add(tick(number))
        due.append(window.is_due)
        if window.is_due:
            window.request()
    assert due == [False, False, False, False, True, False, False]


def test_a_reload_counts_ticks_from_before_request_to_after_answer():
    window = ReloadWindow()
    for number in (11, 12, 13):
        window.add(tick(number, missed=1, response_ms=99.0))
    window.request()
    window.add(tick(14, missed=1, response_ms=math.nan))
    window.add(tick(15, missed=2, response_ms=45.0))
    window.answer()
    window.add(tick(16, missed=3, response_ms=120.0))
    window.add(tick(17, missed=9, response_ms=500.0))
    answer = Message(accepted=True, message="serving 2")
    assert window.record(2, answer, Message(stage_ms=80.0, swap_ms=1.5)) == ReloadRecord(
        version=2,
        accepted=True,
        message="serving 2",
        ticks=4,
        ticks_missed=2,
        stage_ms=80.0,
        swap_ms=1.5,
        response_max_ms=120.0,
    )


def test_a_reload_answered_after_the_last_tick_ends_there():
    window = ReloadWindow()
    window.add(tick(1))
    window.request()
    window.add(tick(2))
    window.answer()
    assert window.record(1, Message(accepted=False, message="no"), Message(stage_ms=1.0, swap_ms=0.0)).ticks == 2


def test_a_reload_without_any_tick_counts_none():
    window = ReloadWindow()
    window.request()
    window.answer()
    record = window.record(1, Message(accepted=True, message=""), Message(stage_ms=1.0, swap_ms=0.1))
    assert (record.ticks, record.ticks_missed, record.response_max_ms) == (0, 0, 0.0)


def test_a_training_run_is_followed_to_its_end():
    progress = TrainingProgress("r1", 2, 3)
    for status in (
        None,
        training("FAILED", run_id="r0", message="of another run"),
        training(message="starting"),
        training(step=10, loss=0.5),
        training(step=20, loss=0.4),
        training(step=20, loss=math.nan),
    ):
        progress.add(status)
        assert not progress.is_over
    progress.add(training("PUBLISHED", step=30, loss=0.3, version=4, message="gate passed"))
    assert progress.is_over
    assert progress.record(9.5) == TrainingRecord(
        2, "r1", "PUBLISHED", "gate passed", 4, 30, 9.5, ((10, 0.5), (20, 0.4), (30, 0.3)), 3
    )


@pytest.mark.parametrize("state", ["PUBLISHED", "REJECTED", "FAILED"])
def test_a_training_run_is_over_however_it_ended(state):
    progress = TrainingProgress("r1", 0)
    progress.add(training(state))
    assert progress.is_over


def test_a_training_run_that_is_not_over_has_no_record():
    progress = TrainingProgress("r1", 0)
    progress.add(training(step=10, loss=0.5))
    with pytest.raises(RuntimeError, match="run r1 is not over"):
        progress.record(1.0)


def test_the_line_of_a_training_run():
    progress = TrainingProgress("r1", 0)
    assert progress.line() == ""
    progress.add(training(step=10, loss=0.5))
    assert progress.line() == "  training  step 10/30  loss 0.5000  training"
    progress.add(training(step=20, loss=0.25, eta_s=12.4))
    assert progress.line() == "  training  step 20/30  loss 0.2500  12 s left  training"
