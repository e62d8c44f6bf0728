"""The trainer's status from the words of its training program."""

import math

import pytest

from apo_trainer.service.status import RunStatus, of_progress, of_result, of_start
from apo_trainer.states import TrainerState

PROGRESS = {"event": "progress", "step": 7, "steps": 10, "loss": 0.25, "eta_s": 1.5}
RESULT = {"event": "result", "state": "PUBLISHED", "version": 3, "steps": 10, "message": "published adapter 3"}


@pytest.mark.parametrize(("step", "message"), [(7, "training"), (10, "judging")])
def test_after_the_last_step_the_run_is_judged(step, message):
    status = of_progress("r1", {**PROGRESS, "step": step})
    assert status == RunStatus("RUNNING", "r1", step, 10, 0.25, 1.5, 0, message)


@pytest.mark.parametrize(
    ("word", "state"),
    [("PUBLISHED", "PUBLISHED"), ("REJECTED", "REJECTED"), ("INTERRUPTED", "CANCELLED"), ("ANYTHING", "FAILED")],
)
def test_the_last_word_of_the_program_is_the_state(word, state):
    result = {**RESULT, "state": word, "metrics": {"loss": 0.125}}
    assert of_result("r1", result, 7, 20) == RunStatus(state, "r1", 10, 20, 0.125, 0.0, 3, "published adapter 3")


def test_the_planned_steps_are_those_of_the_run():
    started = of_start("r1", {"event": "start", "steps": 45})
    assert (started.state, started.step, started.steps) == ("RUNNING", 0, 45)
    assert of_result("r1", {**RESULT, "planned_steps": 45}, 7, 0).steps == 45


def test_run_without_a_result_keeps_the_steps_it_reported():
    status = of_result("r1", {**RESULT, "state": "FAILED", "version": None, "steps": 0, "metrics": None}, 7, 10)
    assert (status.step, status.version) == (7, 0) and math.isnan(status.loss)


def test_summary_is_in_words():
    assert of_progress("r1", PROGRESS).summary() == {
        "state": "RUNNING",
        "run_id": "r1",
        "step": "7/10",
        "loss": "0.25",
        "eta_s": "2",
        "message": "training",
    }
    assert RunStatus(TrainerState.IDLE).summary()["eta_s"] == "nan"
