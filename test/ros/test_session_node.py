"""The session's node against a small stack in a context of its own: services, topics and answers of the same types."""

import threading
from collections.abc import Callable, Iterator

import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.task import Future
from std_srvs.srv import SetBool

from apo_bringup.report import ReloadRecord, SessionRecord
from apo_bringup.session import SessionStopped
from apo_bringup.session_node import SessionNode
from apo_bringup.session_plan import SessionConfig, Trial
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import Outcome, Purpose
from apo_interfaces.msg import ActionCommand, AdapterStatus, ControlStatus, EpisodeEvent, TaskStatus, TrainerStatus
from apo_interfaces.srv import EndEpisode, LoadAdapter, ResetTask, StartEpisode, StartTraining

LISTENERS = {"ee_pose": ("arbiter", "policy"), "task/status": ("recorder",)}
TYPES = {"ee_pose": PoseStamped, "task/status": TaskStatus}
CONFIG = SessionConfig(instruction="lift it", start_timeout_s=30.0, answer_timeout_s=30.0, trial_timeout_s=30.0)
DEPLOYMENT = Trial(Purpose.DEPLOYMENT, 0, 0, 10000, with_operator=True)
NO_LIMIT = 10**6


class FakeStack:
    """The six nodes in a thread; remembers every request in `requests`."""

    def __init__(self, domain: int, absent: str = "", deaf: str = "", publishers_of_command: int = 1):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._nodes = {}
        self.requests: list[tuple[str, object]] = []
        self.refusals: dict[str, str] = {}  # service -> why it refuses
        self.trial_steps = 6  # after which a trial is over
        self.hold_at = NO_LIMIT  # tick that is the last for now
        self.answers = True  # to recorder/end_episode and policy/load_adapter
        self.training = [("RUNNING", 10, 0.5), ("PUBLISHED", 30, 0.25)]
        self.training_message = "gate passed"
        self._waiting: list[Future] = []
        self._running, self._trial, self._step, self._tick, self._missed = False, 0, 0, 0, 0
        self._adapter, self._episode = 0, 0
        for name in ("sim_bridge", "arbiter", "policy", "teleop", "recorder", "trainer"):
            if name != absent:
                self.start(name, listens=name != deaf, publishers_of_command=publishers_of_command)
        self._nodes["sim_bridge"].create_timer(0.005, self._on_timer)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def start(self, name: str, listens: bool = True, publishers_of_command: int = 1) -> None:
        node = self._nodes[name] = rclpy.create_node(name, context=self._context)
        if listens:
            self.listen(name)
        if name == "sim_bridge":
            self._task = node.create_publisher(TaskStatus, "task/status", COMMANDS)
            self._serve(node, ResetTask, "reset", self._on_reset)
        elif name == "arbiter":
            for _ in range(publishers_of_command):
                node.create_publisher(ActionCommand, "command", COMMANDS)
            self._control = node.create_publisher(ControlStatus, "control/status", COMMANDS)
            self._serve(node, SetBool, "enable", lambda request, response: None)
        elif name == "teleop":
            self._serve(node, SetBool, "enable", lambda request, response: None)
        elif name == "policy":
            self._adapter_status = node.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
            self._say_adapter("LOADED", 0)
            self._serve(node, LoadAdapter, "load_adapter", self._on_load, waits=True)
        elif name == "recorder":
            self._events = node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
            self._serve(node, StartEpisode, "start_episode", lambda request, response: None)
            self._serve(node, EndEpisode, "end_episode", self._on_end, waits=True)
        else:
            self._trainer = node.create_publisher(TrainerStatus, "trainer/status", LATCHED)
            self._serve(node, StartTraining, "train", self._on_train)
        self._executor.add_node(node)

    def listen(self, name: str) -> None:
        """Makes a node subscribe to what a session expects of it."""
        for topic, names in LISTENERS.items():
            if name in names:
                self._nodes[name].create_subscription(TYPES[topic], topic, lambda _: None, sensors("reliable"))

    def _serve(self, node, kind, service, act: Callable, waits: bool = False):
        name = f"{node.get_name()}/{service}"

        async def answer(request, response):
            self.requests.append((name, request))
            accepted = name not in self.refusals
            setattr(response, "success" if kind is SetBool else "accepted", accepted)
            response.message = self.refusals.get(name, "")
            if accepted:
                act(request, response)
            elif kind is LoadAdapter:
                self._say_adapter("REFUSED", request.version)
            if waits and not self.answers:
                self._waiting.append(Future(executor=self._executor))
                await self._waiting[-1]
            return response

        node.create_service(kind, f"~/{service}", answer)

    def _on_timer(self):
        if self.answers:
            while self._waiting:
                self._waiting.pop().set_result(None)
        if self._running and self._tick < self.hold_at:
            self._tick += 1
            self._step += 1
            control = ControlStatus(state="POLICY", reason="fresh", tick=self._tick, ticks_missed=self._missed)
            control.takeover_latency_p50_ms, control.takeover_latency_p99_ms = 2.0, 4.0
            control.response_ms = 10.0 + 60.0 * self._missed
            self._control.publish(control)
            self._running = self._step < self.trial_steps
            self._publish_task(success=not self._running)

    def _publish_task(self, success: bool):
        status = TaskStatus(trial=self._trial, step=self._step, running=self._running, success=success)
        status.last_observation_stamp.sec = self._step
        self._task.publish(status)

    def _on_reset(self, request, response):
        self._running, self._step = True, 0
        self._trial += 1
        self._publish_task(success=False)

    def _on_load(self, request, response):
        self._adapter = response.version = request.version
        self._missed, self.hold_at = 1, self.hold_at + 1
        self._say_adapter("LOADED", request.version)

    def _say_adapter(self, state: str, requested: int) -> None:
        status = AdapterStatus(state=state, version=self._adapter, requested_version=requested)
        status.stage_ms, status.swap_ms = 80.0, 1.5
        self._adapter_status.publish(status)

    def _on_end(self, request, response):
        self._running = False
        self._episode += 1
        response.path = f"/episodes/e{self._episode}.h5"
        event = EpisodeEvent(event="SAVED", episode_id=f"e{self._episode}", path=response.path, steps=self._step)
        event.outcome, event.takeovers, event.intervention_share = request.outcome, 1, 0.25
        event.frames_recorded, event.frames_lost = 2 * self._step, 1
        self._events.publish(event)

    def _on_train(self, request, response):
        response.run_id = "run1"
        for state, step, loss in self.training:
            status = TrainerStatus(state=state, run_id="run1", step=step, steps=30, loss=loss, eta_s=float("nan"))
            status.message = self.training_message
            status.adapter_version = int(state == "PUBLISHED")
            self._trainer.publish(status)

    def end_trial(self) -> None:
        """The trial in progress is over without another tick."""
        self._running = False
        self._publish_task(success=True)

    def asked(self, service: str) -> list:
        return [request for name, request in self.requests if name == service]

    def close(self):
        self._executor.shutdown()
        self._thread.join(10.0)
        for node in self._nodes.values():
            node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def launch(ros) -> Iterator[Callable[..., FakeStack]]:
    made = []

    def start(**options) -> FakeStack:
        made.append(FakeStack(ros, **options))
        return made[-1]

    yield start
    for stack in made:
        stack.close()


@pytest.fixture
def connect(ros) -> Iterator[Callable[..., SessionNode]]:
    """(config, check, realtime) -> the node, ready to be told what to do."""
    made = []

    def start(
        config: SessionConfig = CONFIG, check: Callable[[], None] = lambda: None, realtime: bool = False
    ) -> SessionNode:
        made.append(SessionNode(config, LISTENERS, check, realtime=realtime))
        return made[-1]

    yield start
    for node in made:
        node.destroy_node()


def ignore(text: str) -> None:
    pass


def test_a_session_waits_for_services_and_listeners_and_says_what_is_missing(launch, connect):
    stack = launch(absent="trainer", deaf="policy")
    node = connect()
    lines, started = [], []

    def on_line(text: str) -> None:
        lines.append(text)
        if text.endswith("waiting for trainer/train, policy to listen to ee_pose") and not started:
            started.append(stack.start("trainer"))
        elif text.endswith("waiting for policy to listen to ee_pose"):
            stack.listen("policy")

    node.wait_ready(on_line)
    assert any(line.endswith("waiting for policy to listen to ee_pose") for line in lines)
    assert [request.data for request in stack.asked("arbiter/enable")] == [True]


def test_what_never_starts_is_named_with_the_limit(launch, connect):
    launch(absent="trainer")
    node = connect(SessionConfig(start_timeout_s=3.0))
    with pytest.raises(SessionStopped) as error:
        node.wait_ready(ignore)
    reason, _, missing = str(error.value).partition("; still waiting for ")
    assert reason == "the start of all nodes did not come in time (config/session.yaml: start_timeout_s = 3.0)"
    assert "trainer/train" in missing.split(", ")


def test_another_stack_in_the_domain_is_refused(launch, connect):
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


@pytest.mark.parametrize(
    "service",
    ["teleop/enable", "recorder/start_episode", "sim_bridge/reset", "recorder/end_episode"],
)
def test_a_refused_call_stops_the_session_with_its_message(launch, connect, service):
    stack = launch()
    stack.refusals[service] = "the disk is full"
    node = connect()
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped, match=f"service '{service}' refused: the disk is full"):
        node.run_trial(DEPLOYMENT, 0, ignore)


def test_a_refused_adapter_between_trials_stops_the_session(launch, connect):
    stack = launch()
    stack.refusals["policy/load_adapter"] = "adapter 3 is not in the store"
    node = connect()
    node.wait_ready(ignore)
    with pytest.raises(SessionStopped, match="service 'policy/load_adapter' refused: adapter 3 is not in the store"):
        node.load_adapter(3)
    assert [request.version for request in stack.asked("policy/load_adapter")] == [3]


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
    (end,) = stack.asked("recorder/end_episode")
    assert (end.outcome, end.reason, end.truncated, end.until.sec) == ("UNLABELED", "session_stopped", True, 0)
    assert (episode.outcome, episode.seed, episode.adapter_version) == (Outcome.UNLABELED, 10000, 1)
    assert episode.path == "/episodes/e1.h5"
    assert node.end_recording() is None


def test_a_trial_interrupted_while_it_is_being_saved_keeps_its_outcome(launch, connect):
    stack, ctrl_c = launch(), CtrlC()
    stack.answers = False
    node = connect(check=ctrl_c)
    node.wait_ready(ignore)
    ctrl_c.when = lambda: bool(stack.asked("recorder/end_episode"))
    with pytest.raises(SessionStopped, match="SIGINT received"):
        node.run_trial(DEPLOYMENT, 0, ignore)
    stack.answers = True
    episode = node.end_recording()
    assert [request.outcome for request in stack.asked("recorder/end_episode")] == ["SUCCESS"]
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
    ctrl_c.when = lambda: bool(stack.asked(service)) if service else bool(lines)
    with pytest.raises(SessionStopped, match=r"^SIGINT received$"):
        if phase == "training":
            node.train(0, [], 0, lines.append)
        elif phase == "load of an adapter":
            node.load_adapter(1)
        else:
            node.wait_ready(lines.append)
    assert node.end_recording() is None
    assert stack.asked("recorder/end_episode") == []


def test_a_training_run_is_followed_to_its_adapter(launch, connect):
    stack = launch()
    node = connect()
    node.wait_ready(ignore)
    record = node.train(2, ["e1", "e2"], 1, ignore)
    (request,) = stack.asked("trainer/train")
    assert (request.parent, list(request.episode_ids)) == (2, ["e1", "e2"])
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


def test_a_training_run_that_never_ends_stops_the_session_and_names_the_limit(launch, connect):
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


def test_a_refused_reload_is_recorded_and_the_trial_goes_on(launch, connect):
    stack = launch()
    stack.refusals["policy/load_adapter"] = "another base model"
    stack.trial_steps = 20
    node = connect()
    node.wait_ready(ignore)
    episode, reload = node.run_reload_trial(Trial(Purpose.RELOAD, 0, 0, 10036, False), 1, ignore)
    assert (reload.accepted, reload.message) == (False, "another base model")
    assert episode.outcome == Outcome.SUCCESS
