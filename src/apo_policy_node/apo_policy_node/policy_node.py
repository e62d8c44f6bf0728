"""The policy as a ROS node: observations in, a chunk for each out, adapters exchanged while it serves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future
from std_srvs.srv import Trigger

from apo_core.adapters.signature import read_signing_key, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import Trial
from apo_core.content_watch import ContentWatch, frozen_text
from apo_core.contract.contract import load_contract
from apo_core.observation_sync import ObservationSync
from apo_core.ros.action_chunk import chunk_to_msg, fault_to_msg
from apo_core.ros.conversions import to_ns
from apo_core.ros.diagnostics import diagnostic_array
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_runner import run
from apo_core.ros.observation_subscriber import ObservationSubscriber
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.ros.second_stack import second_publisher
from apo_core.types import ControlSource
from apo_interfaces.msg import ActionChunk, ActionCommand, ActionDoubt, AdapterStatus, AdapterTrial, EpisodeEvent
from apo_interfaces.srv import LoadAdapter
from apo_policy_node.adapters.reloader import ReloadResult, ReloadState
from apo_policy_node.config import PolicyConfig
from apo_policy_node.inference.runner import Answer
from apo_policy_node.policy_server import SWITCH_INTERVAL_S, Listeners, PolicyServer
from apo_policy_node.ros.health import WANTS_HELP, PolicyHealth
from apo_policy_node.ros.policy_messages import episode_from_msg, reloaded_to_msg, trial_to_msg, uncertainty_to_msg
from apo_vla.lora.adapter import LoraSettings, check_adapter_config
from apo_vla.serving.policy import load_for_serving

_DEACTIVATED = "the policy node was deactivated"


class PolicyNode(LifecycleBase):
    """Serves a VLA policy; inference and loading of adapters run in threads of their own."""

    def __init__(self) -> None:
        super().__init__("policy")
        self._config = declare(self, PolicyConfig)
        self._server: PolicyServer | None = None
        self._source: ObservationSubscriber | None = None
        self._chunk_pub = self.create_publisher(ActionChunk, "policy/chunk", COMMANDS)
        self._uncertainty_pub = self.create_publisher(ActionDoubt, "policy/doubt", COMMANDS)
        self._status_pub = self.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
        self._trial_pub = self.create_publisher(AdapterTrial, "policy/trial", LATCHED)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        # simulated time stands still between trials, watching goes on
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.create_subscription(ActionCommand, "command", self._on_command, COMMANDS)
        self.create_subscription(EpisodeEvent, "recorder/event", self._on_episode, COMMANDS)
        # a group of its own: a call that awaits its adapter must not hold up the other callbacks
        group = ReentrantCallbackGroup()
        self.create_service(LoadAdapter, "~/load_adapter", self._on_load_adapter, callback_group=group)
        self.create_service(Trigger, "~/rollback", self._on_rollback, callback_group=group)

    def configure(self) -> None:
        """Loads, checks and warms up the checkpoint, loads the first adapter, starts the threads."""
        config = self._config
        torch.set_num_threads(config.torch_threads)
        self._contract = load_contract(config.contract_file)
        lora = LoraSettings.of(config.lora)
        with config.attributed_to("adapter_public_key"):
            trusted = read_trusted_keys(config.adapter_public_key) if config.adapter_public_key else None
        with config.attributed_to("signing_key"):
            key = read_signing_key(config.signing_key) if config.signing_key else None
            if trusted is not None and key is not None:
                trusted.check_key(key)
        with config.attributed_to("checkpoint_dir"):
            policy = load_for_serving(config.checkpoint_dir, config.device, lora, config.serving)
        log = self.get_logger()
        self._server = PolicyServer(
            policy,
            config,
            self._contract,
            AdapterStore(config.adapter_dir, trusted, key),
            partial(check_adapter_config, lora),
            Listeners(self._publish, self._publish_status, log.error, log.warning, self._publish_trial),
            lambda: self.get_clock().now().nanoseconds,
        )
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._server.start()

    def activate(self) -> None:
        """Starts to answer observations; earlier observations and predictions are dropped."""
        self._configured_server.clear()
        self._sync = ObservationSync(self._contract, self._config.instruction)
        self._content = ContentWatch(self._contract, self._config.frozen_m)
        self._source = ObservationSubscriber(
            self, self._contract, sensors(self._config.sensor_reliability), self._on_sample
        )

    def deactivate(self) -> None:
        """Revokes the chunk in force, so that it is not executed further."""
        self._end_source()
        now = self.get_clock().now().nanoseconds
        self._configured_server.clear()
        self._configured_server.between(partial(self._publish_fault, now, _DEACTIVATED))

    def cleanup(self) -> None:
        """Ends the threads and releases the model."""
        self._end_source()
        if self._server is not None:
            self._server.stop()
            self._server = None

    close = cleanup

    @property
    def _configured_server(self) -> PolicyServer:
        """The server; it exists from `configure` to `cleanup`."""
        if self._server is None:
            raise RuntimeError("the policy node is not configured")
        return self._server

    def _end_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def _on_sample(self, stream: str, stamp_ns: int, value: np.ndarray) -> None:
        observation = self._sync.add(stream, stamp_ns, value)
        if observation is None:
            return
        if self._source is not None:
            self._source.formed()
        self._content.add(observation)
        if self.is_active:
            fault = frozen_text(self._content) if self._config.frozen_content == "hold" else ""
            self._configured_server.observe(observation, fault)

    def _on_command(self, message: ActionCommand) -> None:
        if self.is_active:
            # an unknown source is not the policy, like HOLD
            source = ControlSource.__members__.get(message.source, ControlSource.HOLD)
            values = np.array(message.values, np.float32)
            self._configured_server.executed(to_ns(message.observation_stamp), source, values)
            self._content.command(values)

    def _on_episode(self, message: EpisodeEvent) -> None:
        report = episode_from_msg(message)
        if self._server is not None and report is not None:
            self._server.on_episode(report)

    async def _on_load_adapter(
        self, request: LoadAdapter.Request, response: LoadAdapter.Response
    ) -> LoadAdapter.Response:
        if self._server is None:
            response.accepted, response.message = False, "the policy node is not configured"
            return response
        result = await self._result_of(partial(self._server.load_adapter, request.version))
        response.accepted = result.state == ReloadState.LOADED
        response.version, response.message = result.version, result.reason
        return response

    async def _on_rollback(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._server is None:
            response.success, response.message = False, "the policy node is not configured"
            return response
        result = await self._result_of(self._server.roll_back)
        response.success = result.state == ReloadState.LOADED
        response.message = result.reason or f"adapter {result.version} serves"
        return response

    def _result_of(self, request: Callable[[Callable[[ReloadResult], None]], None]) -> Future:
        future = Future()

        def reply(result: ReloadResult) -> None:
            future.set_result(result)
            self.executor.wake()  # the executor sleeps; a future set by another thread does not wake it

        request(reply)
        return future

    def _publish_status(self, result: ReloadResult) -> None:
        self._status_pub.publish(reloaded_to_msg(result, self.get_clock().now().to_msg()))
        log = self.get_logger()
        if result.state == ReloadState.LOADED:
            log.info(f"adapter {result.version} serves: staged {result.stage_ms:.1f} ms, swap {result.swap_ms:.2f} ms")
            if result.reason:
                log.warning(result.reason)
        else:
            log.error(f"adapter {result.requested_version} rejected, {result.version} still serves: {result.reason}")

    def _publish_trial(self, trial: Trial) -> None:
        self._trial_pub.publish(trial_to_msg(trial, self.get_clock().now().to_msg()))

    def _publish_diagnostics(self) -> None:
        if self._source is None:
            return
        values = {
            "messages_rejected": str(self._source.rejected),
            "messages_out_of_order": str(sum(self._sync.out_of_order.values())),
            **self._configured_server.summary(),
        }
        health = PolicyHealth(
            second=second_publisher(self, "policy/chunk"),
            streams="; ".join(self._source.faults()),
            frozen=frozen_text(self._content),
        )
        log = self.get_logger()
        # rclpy allows one severity for each line of code
        for line in health.errors:
            log.error(line, throttle_duration_sec=10.0)
        for line in health.warnings:
            log.warning(line, throttle_duration_sec=10.0)
        level, text = health.shown(self._configured_server)
        self._diagnostics_pub.publish(diagnostic_array(self, level, text, values))

    def _publish(self, answer: Answer) -> None:
        if answer.chunk is None:
            self._publish_fault(answer.observation_stamp_ns, answer.fault)
            return
        stamp_ns, inference_s = answer.observation_stamp_ns, answer.inference_s
        self._chunk_pub.publish(chunk_to_msg(answer.chunk, stamp_ns, self._contract, inference_s))
        uncertainty = answer.uncertainty
        if uncertainty is not None:
            self._uncertainty_pub.publish(uncertainty_to_msg(uncertainty, self._contract, self._config.help_entropy))
            if uncertainty.help_wanted:
                self.get_logger().warning(f"{WANTS_HELP} ({uncertainty.reason})", throttle_duration_sec=5.0)

    def _publish_fault(self, stamp_ns: int, fault: str) -> None:
        self._chunk_pub.publish(fault_to_msg(fault, stamp_ns, self._contract, self._configured_server.adapter_version))
        if fault != _DEACTIVATED:
            self.get_logger().error(f"no action: {fault}", throttle_duration_sec=1.0)


def main() -> None:
    """Console script."""
    raise SystemExit(run(PolicyNode))
