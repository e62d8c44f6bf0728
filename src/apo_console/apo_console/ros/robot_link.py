"""One robot of the console: what its topics carry, and the services behind the page's buttons."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from apo_console.server.robots import Answer
from apo_console.view.live import Live
from apo_core.contract.contract import Contract
from apo_core.contract.specs import COMPRESSED_IMAGE, ImageSpec
from apo_core.errors import ObservationError
from apo_core.ros.conversions import image_from_msg, to_floats, to_ns
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_interfaces.msg import (
    ActionCommand,
    ActionDoubt,
    AdapterStatus,
    AdapterTrial,
    ControlStatus,
    DeviceSample,
    EpisodeEvent,
    OperatorCommand,
    OperatorLedger,
    TaskStatus,
    TrainerStatus,
)
from apo_interfaces.srv import EndEpisode, StartEpisode, StartTraining

# action of a page -> service, type, request made of the action's fields
_SERVICES: dict[str, tuple[str, type, Callable[[dict[str, Any]], Any]]] = {
    "clear": ("arbiter/clear", Trigger, lambda fields: Trigger.Request()),
    "hand_back": ("arbiter/hand_back", Trigger, lambda fields: Trigger.Request()),
    "enable": ("arbiter/enable", SetBool, lambda fields: SetBool.Request(data=fields["value"])),
    "start_episode": (
        "recorder/start_episode",
        StartEpisode,
        lambda fields: StartEpisode.Request(instruction=fields["instruction"]),
    ),
    "end_episode": (
        "recorder/end_episode",
        EndEpisode,
        lambda fields: EndEpisode.Request(outcome=fields["outcome"], reason=f"operator_{fields['outcome'].lower()}"),
    ),
    "undo_last": ("recorder/undo_last", Trigger, lambda fields: Trigger.Request()),
    "train": ("trainer/train", StartTraining, lambda fields: StartTraining.Request(serving=fields["serving"])),
    "cancel_training": ("trainer/cancel", Trigger, lambda fields: Trigger.Request()),
}
_ESTOP = "arbiter/estop"
_ARRIVAL_S = 1.0  # limit of the wait for a message to arrive
_POLL_S, _SHORTLY = 0.01, Duration(nanoseconds=1_000_000)


class RobotLink:
    """Subscriptions, publishers and clients of one namespace.

    Args:
        node: owns them.
        namespace: of the robot; empty: the node's own.
        contract: cameras and action.
        reliability: QoS of the cameras.
        picture: (camera, stamp in ns, image) of each camera frame.
        lock: guards `live`, which other threads read.
        steady_s: steady time.
    """

    def __init__(
        self,
        node: Node,
        namespace: str,
        contract: Contract,
        reliability: str,
        picture: Callable[[int, int, np.ndarray], None],
        lock: threading.Lock,
        steady_s: Callable[[], float],
    ):
        self._node, self._namespace, self._lock, self._steady_s = node, namespace.strip("/"), lock, steady_s
        self._picture = picture
        self.live = Live(self._namespace, tuple(spec.name for spec in contract.images))
        self._serving = 0
        for kind, topic, handle, qos in (
            (ControlStatus, "control/status", self._on_status, COMMANDS),
            (ActionCommand, "command", self._on_command, COMMANDS),
            (ActionDoubt, "policy/doubt", self._on_doubt, COMMANDS),
            (AdapterStatus, "policy/adapter_status", self._on_adapter, LATCHED),
            (AdapterTrial, "policy/trial", self._on_trial, LATCHED),
            (EpisodeEvent, "recorder/event", self._on_episode, COMMANDS),
            (OperatorLedger, "recorder/ledger", self._on_ledger, LATCHED),
            (TrainerStatus, "trainer/status", self._on_training, LATCHED),
            (TaskStatus, "task/status", self._on_task, COMMANDS),
            (OperatorCommand, "operator/command", self._on_operator, COMMANDS),
        ):
            node.create_subscription(kind, self.name_of(topic), partial(self._guarded, handle), qos)
        self._images, self._reliability = contract.images, reliability
        self._camera_subs: list[Subscription] = []
        self._device = self._publisher(DeviceSample, "operator/device")
        self._estop = self._publisher(Bool, "estop")
        self._frame_id = contract.frame_id
        self._stopped = False  # by the topic, until `clear`
        self._service_clients = {
            name: node.create_client(kind, self.name_of(name)) for name, kind, _ in _SERVICES.values()
        }
        self._service_clients[_ESTOP] = node.create_client(Trigger, self.name_of(_ESTOP))

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self._node.create_publisher(kind, self.name_of(topic), COMMANDS)

    def name_of(self, topic: str) -> str:
        """A topic or service of this robot; absolute names stay."""
        return f"/{self._namespace}/{topic}" if self._namespace and not topic.startswith("/") else topic

    def watch(self, watched: bool) -> None:
        """Receives the cameras while somebody looks; from the executor's thread."""
        if watched and not self._camera_subs:
            for index, spec in enumerate(self._images):
                kind = CompressedImage if spec.type == COMPRESSED_IMAGE else Image
                callback = partial(self._on_image, index, spec)
                topic, qos = self.name_of(spec.topic), sensors(self._reliability)
                self._camera_subs.append(self._node.create_subscription(kind, topic, callback, qos))
        elif not watched:
            while self._camera_subs:
                self._node.destroy_subscription(self._camera_subs.pop())

    def drive(self, holder: str, axes: Sequence[float], held: bool, events: Sequence[str], connected: bool) -> None:
        """Publishes a sample of the browser's device; from any thread."""
        message = DeviceSample(
            holder=holder, connected=connected, held=held, axes=np.asarray(axes, np.float32), events=list(events)
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._frame_id
        self._device.publish(message)

    def stop(self) -> Future[Answer]:
        """Requests an emergency stop by service, by topic and by the device; from any thread.

        The topic holds until this node sends false, which `clear` does.
        """
        self._stopped = True
        self._estop.publish(Bool(data=True))
        self.drive("", [0.0] * 6, False, ["estop"], connected=False)
        answer = _running()
        self._call(_ESTOP, Trigger.Request(), answer)
        return answer

    def perform(self, action: str, fields: dict[str, Any]) -> Future[Answer]:
        """Calls the service of an action; from any thread."""
        name, _, make = _SERVICES[action]
        answer = _running()
        call = partial(self._call, name, make({**fields, "serving": self._serving}), answer)
        if action == "clear" and self._stopped:
            self._stopped = False
            self._estop.publish(Bool(data=False))
            threading.Thread(target=self._clear, args=(call, answer), daemon=True).start()
        else:
            call()
        return answer

    def _clear(self, call: Callable[[], None], answer: Future[Answer]) -> None:
        """Clears once the end of this node's stop has arrived: the arbiter would reject a request that overtakes it."""
        until_s = self._steady_s() + _ARRIVAL_S
        # rclpy keeps all threads waiting while it waits
        while not self._estop.wait_for_all_acked(_SHORTLY) and self._steady_s() < until_s:
            time.sleep(_POLL_S)
        if self._stopped:
            answer.set_result(Answer(False, "a stop was requested meanwhile"))
        else:
            call()

    def _call(self, name: str, request: Any, answer: Future[Answer]) -> None:
        client = self._service_clients[name]
        if not client.service_is_ready():
            answer.set_result(Answer(False, f"no node serves {self.name_of(name)}"))
            return

        def done(future: Any) -> None:
            if (error := future.exception()) is not None:
                answer.set_exception(error)
                return
            response = future.result()
            accepted = response.accepted if hasattr(response, "accepted") else response.success
            answer.set_result(Answer(bool(accepted), response.message))

        client.call_async(request).add_done_callback(done)

    def _guarded(self, handle: Callable[[Any], None], message: Any) -> None:
        with self._lock:
            handle(message)

    def _on_status(self, m: ControlStatus) -> None:
        self.live.on_status(
            self._steady_s(),
            m.state,
            m.reason,
            m.latched,
            ticks=m.tick,
            ticks_missed=m.ticks_missed,
            takeovers=m.takeovers,
            takeover_latency_p50_ms=m.takeover_latency_p50_ms,
            takeover_latency_p99_ms=m.takeover_latency_p99_ms,
            response_ms=m.response_ms,
        )

    def _on_command(self, m: ActionCommand) -> None:
        age_s = (to_ns(m.header.stamp) - to_ns(m.observation_stamp)) * 1e-9
        self.live.on_command(age_s, m.source, to_floats(m.values), m.clipped)

    def _on_doubt(self, m: ActionDoubt) -> None:
        self.live.on_doubt(m.help_wanted, entropy=m.entropy, log_prob=m.log_prob, help_entropy=m.help_entropy)

    def _on_adapter(self, m: AdapterStatus) -> None:
        self._serving = m.version
        self.live.on_adapter(m.state, m.version, m.requested_version, m.reason)

    def _on_trial(self, m: AdapterTrial) -> None:
        names = ("candidate_successes", "candidate_episodes", "serving_successes", "serving_episodes", "shadow_steps")
        figures = {name: getattr(m, name) for name in names}
        self.live.on_trial(m.candidate, m.stage, m.reason, serving=m.serving, **figures)

    def _on_episode(self, m: EpisodeEvent) -> None:
        self.live.on_episode(m.event, m.episode_id, m.outcome, m.reason, m.steps, m.takeovers)

    def _on_ledger(self, m: OperatorLedger) -> None:
        names = ("adapter_version", "episodes", "watched_s", "driven_s")
        rounds = [{name: getattr(each, name) for name in names} for each in m.rounds]
        self.live.on_operator_time(m.episode_id, m.watched_s, m.driven_s, rounds)

    def _on_training(self, m: TrainerStatus) -> None:
        self.live.on_training(m.state, m.run_id, m.step, m.steps, m.message, loss=m.loss, eta_s=m.eta_s)

    def _on_task(self, m: TaskStatus) -> None:
        stages = dict(zip(m.stages, m.stages_reached, strict=False))
        self.live.on_task(m.trial, m.step, m.remaining, stages, m.success)

    def _on_operator(self, m: OperatorCommand) -> None:
        self.live.on_device(m.device, m.connected, m.active)

    def _on_image(self, camera: int, spec: ImageSpec, message: Any) -> None:
        try:
            image = image_from_msg(message, spec)
        except ObservationError:  # policy and recorder report what does not fit the contract
            return
        self._picture(camera, to_ns(message.header.stamp), image)


def _running() -> Future[Answer]:
    """An answer that nobody can cancel: it is set also where the page has stopped waiting for the node."""
    answer: Future[Answer] = Future()
    answer.set_running_or_notify_cancel()
    return answer
