"""The session's node against a small stack in a context of its own: services, topics and answers of the same types."""

import pytest
from session_stack import DEPLOYMENT, ignore

from apo_bringup.session.conduct import SessionStopped
from apo_bringup.session.plan import SessionConfig, Trial
from apo_bringup.session.report import SessionRecord
from apo_core.types import Outcome, Purpose


def test_a_session_waits_for_services_and_subscribers(launch, connect):
    stack = launch(absent="trainer", unsubscribed="policy")
    node = connect()
    lines, started = [], []

    def on_line(text: str) -> None:
        lines.append(text)
        if text.endswith("waiting for trainer/train, policy to subscribe to ee_pose") and not started:
            started.append(stack.start("trainer"))
        elif text.endswith("waiting for policy to subscribe to ee_pose"):
            stack.subscribe("policy")

    node.wait_ready(on_line)
    assert any(line.endswith("waiting for policy to subscribe to ee_pose") for line in lines)
    assert [request.data for request in stack.requests_of("arbiter/enable")] == [True]


def test_what_never_starts_is_named_with_the_limit(launch, connect):
    launch(absent="trainer")
    node = connect(SessionConfig(start_timeout_s=3.0))
    with pytest.raises(SessionStopped) as error:
        node.wait_ready(ignore)
    reason, _, missing = str(error.value).partition("; still waiting for ")
    assert reason == "the start of all nodes did not come in time (config/session.yaml: start_timeout_s = 3.0)"
    assert "trainer/train" in missing.split(", ")


def test_another_stack_in_the_domain_is_rejected(launch, connect):
    stack = launch(publishers_of_command=2)
    with pytest.raises(SessionStopped, match="command come from more than one node: another stack runs"):
        connect().wait_ready(ignore)
    assert stack.requests == []


def test_in_real_time_nobody_drives_while_the_scene_is_reset(launch, connect):
    stack = launch()
    node = connect(realtime=True)
    node.wait_ready(ignore)
    stack.requests.clear()
    node.run_trial(DEPLOYMENT, 0, ignore)
    around = [(name, getattr(request, "data", None)) for name, request in stack.requests[2:5]]
    assert around == [("arbiter/enable", False), ("sim_bridge/reset", None), ("arbiter/enable", True)]


@pytest.mark.parametrize("with_operator", [True, False])
def test_a_trial_is_reset_recorded_and_ended(launch, connect, with_operator):
    stack = launch()
    node = connect()
    node.wait_ready(ignore)
    stack.requests.clear()
    lines = []
    trial = Trial(Purpose.EVALUATION, -1, 3, 50003, with_operator)
    episode = node.run_trial(trial, 2, lines.append)
    names = [name for name, _ in stack.requests]
    assert names == ["teleop/enable", "recorder/start_episode", "sim_bridge/reset", "recorder/end_episode"]
    enable, start, reset, end = (request for _, request in stack.requests)
    assert enable.data is with_operator
    assert (start.task, start.instruction, start.seed) == ("Lift", "lift it", 50003)
    assert start.operator_name == ("scripted" if with_operator else "")
    assert start.tags == ["purpose=evaluation", "round=-1", "index=3"]
    assert reset.seed == 50003
    assert (end.outcome, end.reason, end.truncated, end.until.sec) == ("SUCCESS", "task_success", False, 6)
    assert (episode.episode_id, episode.path, episode.outcome) == ("e1", "/episodes/e1.h5", Outcome.SUCCESS)
    assert (episode.seed, episode.adapter_version, episode.steps) == (50003, 2, 6)
    assert (episode.takeovers, episode.intervention_share) == (1, 0.25)
    assert (episode.frames_recorded, episode.frames_lost) == (12, 1)


def test_what_the_arbiter_counts_is_measured(launch, connect):
    launch()
    node = connect()
    record = SessionRecord({})
    node.measure(record)
    assert record.ticks == 0
    node.wait_ready(ignore)
    node.run_trial(DEPLOYMENT, 0, ignore)
    node.run_trial(DEPLOYMENT, 0, ignore)
    node.measure(record)
    assert record.ticks in (11, 12)  # the end of the trial may overtake its last tick
    assert (record.ticks_missed, record.takeover_latency_p50_ms, record.takeover_latency_p99_ms) == (0, 2.0, 4.0)
