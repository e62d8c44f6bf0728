"""Training runs and reloads of a session."""

import pytest
from session_stack import NO_LIMIT, ignore

from apo_bringup.session.conduct import SessionStopped
from apo_bringup.session.plan import SessionConfig, Trial
from apo_bringup.session.report import ReloadRecord
from apo_core.types import Outcome, Purpose


def test_a_training_run_is_followed_to_its_adapter(launch, connect):
    stack = launch()
    node = connect()
    node.wait_ready(ignore)
    record = node.train(2, ["e1", "e2"], 1, ignore)
    (request,) = stack.requests_of("trainer/train")
    assert (request.serving, list(request.episode_ids)) == (2, ["e1", "e2"])
    assert record.parent == 1
    assert (record.run_id, record.state, record.adapter_version) == ("run1", "PUBLISHED", 1)
    assert (record.round, record.steps, record.message) == (1, 30, "gate passed")
    assert record.losses[-1] == (30, 0.25)


def test_a_failed_training_run_is_reported(launch, connect):
    stack = launch()
    stack.training, stack.training_message = [("FAILED", 0, float("nan"))], "no episode has a takeover"
    node = connect()
    node.wait_ready(ignore)
    record = node.train(0, ["e1"], 0, ignore)
    assert (record.state, record.message, record.adapter_version) == ("FAILED", "no episode has a takeover", 0)
    assert (record.steps, record.losses) == (0, ())


def test_a_training_run_without_an_end_stops_the_session(launch, connect):
    stack = launch()
    stack.training = [("RUNNING", 10, 0.5)]
    node = connect(SessionConfig(training_timeout_s=1.0))
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped) as error:
        node.train(0, [], 0, ignore)
    assert str(error.value) == (
        "the end of training run run1 did not come in time (config/session.yaml: training_timeout_s = 1.0)"
    )


def test_a_reload_counts_the_ticks_between_request_and_answer(launch, connect):
    stack = launch()
    stack.trial_steps, stack.hold_at, stack.answers = NO_LIMIT, 5, False
    node = connect()
    node.wait_ready(ignore)

    def on_line(text: str) -> None:
        if text.endswith("missed 1") and not stack.answers:  # tick 6, which came after the request, has arrived
            stack.answers = True
            stack.end_trial()

    episode, reload = node.run_reload_trial(Trial(Purpose.RELOAD, 0, 0, 10036, False), 1, on_line)
    assert (episode.episode_id, episode.adapter_version, episode.steps) == ("e1", 0, 6)
    assert reload == ReloadRecord(
        version=1, accepted=True, message="", ticks=2, ticks_missed=1, stage_ms=80.0, swap_ms=1.5, response_max_ms=70.0
    )


def test_a_rejected_reload_is_recorded_and_the_trial_goes_on(launch, connect):
    stack = launch()
    stack.rejections["policy/load_adapter"] = "another base model"
    stack.trial_steps = 20
    node = connect()
    node.wait_ready(ignore)
    episode, reload = node.run_reload_trial(Trial(Purpose.RELOAD, 0, 0, 10036, False), 1, ignore)
    assert (reload.accepted, reload.message) == (False, "another base model")
    assert episode.outcome == Outcome.SUCCESS
