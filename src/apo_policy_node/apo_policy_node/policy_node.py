"""The policy as a ROS node: observations in, a chunk for each out, adapters exchanged while it serves."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from apo_core.adapter_signature import read_trusted_keys
from apo_core.adapter_store import AdapterStore
from apo_core.contract import load_contract
from apo_core.errors import AdapterError, ConfigError
from apo_core.observation_sync import ObservationSync
from apo_core.ros.chunk_message import chunk_to_msg, fault_to_msg
from apo_core.ros.conversions import to_ns
from apo_core.ros.diagnostics import OK, WARN, diagnostic_array
from apo_core.ros.lifecycle import LifecycleBase
from apo_core.ros.node_main import run
from apo_core.ros.observation_source import ObservationSource
from apo_core.ros.parameters import declare
from apo_core.ros.qos import COMMANDS, LATCHED, sensors
from apo_core.types import ControlSource
from apo_core.vla.lora import LoraSettings, check_adapter_config
from apo_core.vla.policy import VlaPolicy
from apo_interfaces.msg import ActionChunk, ActionCommand, AdapterStatus
from apo_interfaces.srv import LoadAdapter
from apo_policy_node.adapter_reloader import AdapterReloader, ReloadResult, ReloadState
from apo_policy_node.config import PROMOTED, PolicyConfig
from apo_policy_node.inference_worker import InferenceWorker
from apo_policy_node.policy_runner import Answer, PolicyRunner
from apo_policy_node.reload_worker import ReloadWorker
from apo_policy_node.start_up import check_policy, warm_up

_DEACTIVATED = "the policy node was deactivated"


class PolicyNode(LifecycleBase):
    """Serves a VLA policy; inference and loading of adapters run in threads of their own."""

    def __init__(self):
        super().__init__("policy")
        self._config = declare(self, PolicyConfig)
        self._workers: list[InferenceWorker | ReloadWorker] = []
        self._source: ObservationSource | None = None
        self._chunk_pub = self.create_publisher(ActionChunk, "policy/chunk", COMMANDS)
        self._status_pub = self.create_publisher(AdapterStatus, "policy/adapter_status", LATCHED)
        self._diagnostics_pub = self.create_publisher(DiagnosticArray, "/diagnostics", COMMANDS)
        # simulated time stands still between trials, watching goes on
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.create_subscription(ActionCommand, "command", self._on_command, COMMANDS)
        # a group of its own: a call that awaits its adapter must not hold up the other callbacks
        group = ReentrantCallbackGroup()
        self.create_service(LoadAdapter, "~/load_adapter", self._on_load_adapter, callback_group=group)

    def configure(self) -> None:
        """Loads the checkpoint, tests it, loads the adapter to begin with, starts the threads."""
        config = self._config
        torch.set_num_threads(config.torch_threads)
        self._contract = load_contract(config.contract_file)
        lora = LoraSettings(config.lora_rank, config.lora_alpha)
        self._policy, twin = self._load_policy(lora), self._load_policy(lora)
        check_policy(self._policy, self._contract, config)
        warm_up(self._policy, self._contract, config)
        trusted = read_trusted_keys(config.adapter_public_key) if config.adapter_public_key else None
        store = AdapterStore(config.adapter_dir, trusted)
        reloader = AdapterReloader(
            self._policy,
            twin,
            store,
            self._contract,
            config.instruction,
            partial(check_adapter_config, lora),
            time.perf_counter,
        )
        self._load_first(reloader, store)
        runner = PolicyRunner(self._policy, self._contract, config.replan_steps, time.perf_counter, config.lockstep)
        self._inference = InferenceWorker(
            runner,
            self._publish,
            lambda: self.get_clock().now().nanoseconds,
            config.lockstep,
            config.command_wait_s,
            self.get_logger().error,
        )
        self._reload = ReloadWorker(
            reloader,
            self._inference.between,
            store.promotion,
            self._publish_status,
            config.auto_reload,
            config.poll_s,
            self.get_logger().warning,
        )
        self._workers = [self._reload, self._inference]
        for worker in self._workers:
            worker.start()

    def activate(self) -> None:
        """Begins to answer observations; nothing seen or predicted before counts."""
        self._inference.clear()
        self._sync = ObservationSync(self._contract, self._config.instruction)
        self._source = ObservationSource(
            self, self._contract, sensors(self._config.sensor_reliability), self._on_sample
        )

    def deactivate(self) -> None:
        """Takes back the chunk in force, so that nobody drives on with it."""
        self._end_source()
        now = self.get_clock().now().nanoseconds
        self._inference.clear()
        self._inference.between(partial(self._publish_fault, now, _DEACTIVATED))

    def cleanup(self) -> None:
        """Ends the threads and lets go of the model."""
        self._end_source()
        for worker in self._workers:
            worker.stop()
        self._workers = []

    close = cleanup

    def _end_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def _load_policy(self, lora: LoraSettings) -> VlaPolicy:
        device = self._config.device
        try:
            return VlaPolicy.load(self._config.checkpoint_dir, device, lora)
        except (RuntimeError, AssertionError) as error:  # what torch raises for a device that is not there
            raise ConfigError("config/policy.yaml", [f"device = {device!r} cannot be used: {error}"]) from None

    def _load_first(self, reloader: AdapterReloader, store: AdapterStore) -> None:
        version = self._config.adapter_version
        if version == PROMOTED:
            version = reloader.poll(store.promotion()) or 0
        else:
            reloader.pass_over()
        result = reloader.load(version)
        if result.state == ReloadState.REFUSED:
            raise AdapterError(f"adapter_version = {version} (config/policy.yaml): {result.reason}")
        self._publish_status(result)

    def _on_sample(self, stream: str, stamp_ns: int, value: np.ndarray) -> None:
        observation = self._sync.add(stream, stamp_ns, value)
        if observation is not None and self.is_active:
            self._inference.observe(observation)

    def _on_command(self, message: ActionCommand) -> None:
        if self.is_active:
            # an unknown source is somebody else than the policy, like HOLD
            source = ControlSource.__members__.get(message.source, ControlSource.HOLD)
            self._inference.executed(to_ns(message.observation_stamp), source)

    async def _on_load_adapter(self, request: LoadAdapter.Request, response: LoadAdapter.Response):
        if not self._workers:
            response.accepted, response.message = False, "the policy node is not configured"
            return response
        future = Future()

        def reply(result: ReloadResult) -> None:
            future.set_result(result)
            self.executor.wake()  # the executor sleeps; a future set by another thread does not wake it

        self._reload.request(request.version, reply)
        result = await future
        response.accepted = result.state == ReloadState.LOADED
        response.version, response.message = result.version, result.reason
        return response

    def _publish_status(self, result: ReloadResult) -> None:
        message = AdapterStatus(state=result.state.value, version=result.version, reason=result.reason)
        message.header.stamp = self.get_clock().now().to_msg()
        message.requested_version = result.requested_version
        message.stage_ms, message.swap_ms = result.stage_ms, result.swap_ms
        self._status_pub.publish(message)
        log = self.get_logger()
        if result.state == ReloadState.LOADED:
            log.info(f"adapter {result.version} serves: staged {result.stage_ms:.1f} ms, swap {result.swap_ms:.2f} ms")
        else:
            log.error(f"adapter {result.requested_version} refused, {result.version} serves on: {result.reason}")

    def _publish_diagnostics(self) -> None:
        if self._source is None:
            return
        values = {
            "adapter_version": str(self._policy.adapter_version),
            "messages_refused": str(self._source.refused),
            "messages_out_of_order": str(sum(self._sync.out_of_order.values())),
            **self._inference.summary(),
        }
        fault = self._inference.fault
        self._diagnostics_pub.publish(diagnostic_array(self, WARN if fault else OK, fault or "serves", values))

    def _publish(self, answer: Answer) -> None:
        if answer.chunk is None:
            self._publish_fault(answer.observation_stamp_ns, answer.fault)
        else:
            stamp_ns, inference_s = answer.observation_stamp_ns, answer.inference_s
            self._chunk_pub.publish(chunk_to_msg(answer.chunk, stamp_ns, self._contract, inference_s))

    def _publish_fault(self, stamp_ns: int, fault: str) -> None:
        self._chunk_pub.publish(fault_to_msg(fault, stamp_ns, self._contract, self._policy.adapter_version))
        if fault != _DEACTIVATED:
            self.get_logger().error(f"no action: {fault}", throttle_duration_sec=1.0)


def main() -> None:
    """Console script."""
    raise SystemExit(run(PolicyNode))
