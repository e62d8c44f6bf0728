"""What stops a session, with its reason, and what is saved then."""

from collections.abc import Callable

import pytest
from session_stack import DEPLOYMENT, NO_LIMIT, ignore

from apo_bringup.session.conduct import SessionStopped
from apo_bringup.session.plan import SessionConfig
from apo_core.types import Outcome


@pytest.mark.parametrize(
    "service",
    ["teleop/enable", "recorder/start_episode", "sim_bridge/reset", "recorder/end_episode"],
)
def test_a_rejected_call_stops_the_session_with_its_message(launch, connect, service):
    stack = launch()
    stack.rejections[service] = "the disk is full"
    node = connect()
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped, match=f"service '{service}' rejected: the disk is full"):
        node.run_trial(DEPLOYMENT, 0, ignore)


def test_a_rejected_adapter_between_trials_stops_the_session(launch, connect):
    stack = launch()
    stack.rejections["policy/load_adapter"] = "adapter 3 is not in the store"
    node = connect()
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped, match="service 'policy/load_adapter' rejected: adapter 3 is not in the store"):
        node.load_adapter(3)
    assert [request.version for request in stack.requests_of("policy/load_adapter")] == [3]


def test_a_trial_that_never_ends_stops_the_session_and_names_the_limit(launch, connect):
    stack = launch()
    stack.trial_steps = NO_LIMIT
    node = connect(SessionConfig(trial_timeout_s=1.0))
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped) as error:
        node.run_trial(DEPLOYMENT, 0, ignore)
    assert str(error.value) == (
        "the end of the trial with seed 10000 did not come in time (config/session.yaml: trial_timeout_s = 1.0)"
    )


def test_a_silent_service_stops_the_session_and_names_the_limit(launch, connect):
    stack = launch()
    stack.answers = False
    node = connect(SessionConfig(answer_timeout_s=3.0))
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped) as error:
        node.load_adapter(1)
    assert str(error.value) == (
        "the answer of service 'policy/load_adapter' did not come in time (config/session.yaml: answer_timeout_s = 3.0)"
    )


class CtrlC:
    """A check that stops the session from a moment on."""

    def __init__(self):
        self.when: Callable[[], bool] = lambda: False

    def __call__(self):
        if self.when():
            raise SessionStopped("SIGINT received")


def test_an_interrupted_trial_is_saved_without_a_label(launch, connect):
    stack, ctrl_c, lines = launch(), CtrlC(), []
    stack.trial_steps = NO_LIMIT
    node = connect(check=ctrl_c)
    node.wait_ready(ignore)
    ctrl_c.when = lambda: bool(lines)
    with pytest.raises(SessionStopped, match="SIGINT received"):
        node.run_trial(DEPLOYMENT, 1, lines.append)
    episode = node.end_recording()
    (end,) = stack.requests_of("recorder/end_episode")
    assert (end.outcome, end.reason, end.truncated, end.until.sec) == ("UNLABELED", "session_stopped", True, 0)
    assert (episode.outcome, episode.seed, episode.adapter_version) == (Outcome.UNLABELED, 10000, 1)
    assert episode.path == "/episodes/e1.h5"
    assert node.end_recording() is None


def test_a_trial_interrupted_while_it_is_being_saved_keeps_its_outcome(launch, connect):
    stack, ctrl_c = launch(), CtrlC()
    stack.answers = False
    node = connect(check=ctrl_c)
    node.wait_ready(ignore)
    ctrl_c.when = lambda: bool(stack.requests_of("recorder/end_episode"))
    with pytest.raises(SessionStopped, match="SIGINT received"):
        node.run_trial(DEPLOYMENT, 0, ignore)
    stack.answers = True
    episode = node.end_recording()
    assert [request.outcome for request in stack.requests_of("recorder/end_episode")] == ["SUCCESS"]
    assert (episode.outcome, episode.steps) == (Outcome.SUCCESS, 6)


@pytest.mark.parametrize("phase", ["start of the nodes", "training", "load of an adapter"])
def test_ctrl_c_outside_a_trial_ends_the_wait_and_saves_nothing(launch, connect, phase):
    stack, ctrl_c = launch(absent="trainer" if phase == "start of the nodes" else ""), CtrlC()
    stack.answers, stack.training = False, [("RUNNING", 10, 0.5)]
    node = connect(check=ctrl_c)
    if phase != "start of the nodes":
        node.wait_ready(ignore)
    service = {"training": "trainer/train", "load of an adapter": "policy/load_adapter"}.get(phase)
    lines = []
    ctrl_c.when = lambda: bool(stack.requests_of(service)) if service else bool(lines)
    with pytest.raises(SessionStopped, match=r"^SIGINT received$"):
        if phase == "training":
            node.train(0, [], 0, lines.append)
        elif phase == "load of an adapter":
            node.load_adapter(1)
        else:
            node.wait_ready(lines.append)
    assert node.end_recording() is None
    assert stack.requests_of("recorder/end_episode") == []
