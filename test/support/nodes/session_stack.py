"""The six nodes of a stack in a thread, for tests of the session's node."""

import threading
from collections.abc import Callable

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.task import Future
from std_srvs.srv import SetBool

from apo_bringup.session.plan import SessionConfig, Trial
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import Purpose
from apo_interfaces.msg import ActionCommand, AdapterStatus, ControlStatus, EpisodeEvent, TaskStatus, TrainerStatus
from apo_interfaces.srv import EndEpisode, LoadAdapter, ResetTask, StartEpisode, StartTraining

SUBSCRIBERS = {"ee_pose": ("arbiter", "policy"), "task/status": ("recorder",)}
TYPES = {"ee_pose": PoseStamped, "task/status": TaskStatus}
CONFIG = SessionConfig(instruction="lift it", start_timeout_s=30.0, answer_timeout_s=30.0, trial_timeout_s=30.0)
DEPLOYMENT = Trial(Purpose.DEPLOYMENT, 0, 0, 10000, with_operator=True)
NO_LIMIT = 10**6


def ignore(text: str) -> None:
    pass


class FakeStack:
    """The six nodes in a thread; keeps every request in `requests`."""

    def __init__(self, domain: int, absent: str = "", unsubscribed: str = "", publishers_of_command: int = 1):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._nodes = {}
        self.requests: list[tuple[str, object]] = []
        self.rejections: dict[str, str] = {}  # service -> why it rejects
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
                self.start(name, subscribes=name != unsubscribed, publishers_of_command=publishers_of_command)
        self._nodes["sim_bridge"].create_timer(0.005, self._on_timer)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def start(self, name: str, subscribes: bool = True, publishers_of_command: int = 1) -> None:
        node = self._nodes[name] = rclpy.create_node(name, context=self._context)
        if subscribes:
            self.subscribe(name)
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
            self._publish_adapter("LOADED", 0)
            self._serve(node, LoadAdapter, "load_adapter", self._on_load, waits=True)
        elif name == "recorder":
            self._events = node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
            self._serve(node, StartEpisode, "start_episode", lambda request, response: None)
            self._serve(node, EndEpisode, "end_episode", self._on_end, waits=True)
        else:
            self._trainer = node.create_publisher(TrainerStatus, "trainer/status", LATCHED)
            self._serve(node, StartTraining, "train", self._on_train)
        self._executor.add_node(node)

    def subscribe(self, name: str) -> None:
        """Makes a node subscribe to what a session expects of it."""
        for topic, names in SUBSCRIBERS.items():
            if name in names:
                self._nodes[name].create_subscription(TYPES[topic], topic, lambda _: None, sensors("reliable"))

    def _serve(self, node, kind, service, act: Callable, waits: bool = False):
        name = f"{node.get_name()}/{service}"

        async def answer(request, response):
            self.requests.append((name, request))
            accepted = name not in self.rejections
            setattr(response, "success" if kind is SetBool else "accepted", accepted)
            response.message = self.rejections.get(name, "")
            if accepted:
                act(request, response)
            elif kind is LoadAdapter:
                self._publish_adapter("REJECTED", request.version)
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
        self._publish_adapter("LOADED", request.version)

    def _publish_adapter(self, state: str, requested: int) -> None:
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
        response.run_id, response.parent = "run1", max(0, request.serving - 1)
        for state, step, loss in self.training:
            status = TrainerStatus(state=state, run_id="run1", step=step, steps=30, loss=loss, eta_s=float("nan"))
            status.message = self.training_message
            status.adapter_version = int(state == "PUBLISHED")
            self._trainer.publish(status)

    def end_trial(self) -> None:
        """The trial in progress is over without another tick."""
        self._running = False
        self._publish_task(success=True)

    def requests_of(self, service: str) -> list:
        return [request for name, request in self.requests if name == service]

    def close(self):
        self._executor.shutdown()
        self._thread.join(10.0)
        for node in self._nodes.values():
            node.destroy_node()
        rclpy.shutdown(context=self._context)
