"""A policy at work: a thread that predicts, a thread that loads adapters, and their connection. No ROS."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import Trial
from apo_core.contract.contract import Contract
from apo_core.errors import AdapterError
from apo_core.served_policy import ServedPolicy
from apo_core.system.timestamps import utc_now
from apo_core.types import ControlSource, Observation
from apo_policy_node.adapters.reloader import AdapterReloader, ReloadResult, ReloadState
from apo_policy_node.adapters.shadow import Shadow
from apo_policy_node.adapters.staged_promotion import EpisodeReport, StagedPromotion, TrialMeans
from apo_policy_node.adapters.worker import ReloadWorker, Reply
from apo_policy_node.config import MANUAL, PROMOTED, STAGED, PolicyConfig
from apo_policy_node.help_rule import HelpRule
from apo_policy_node.inference.chunking import make_chunking
from apo_policy_node.inference.runner import Answer, Cause, PolicyRunner
from apo_policy_node.inference.worker import InferenceWorker
from apo_policy_node.startup_checks import check_policy, unit_warnings, warm_up

# for sys.setswitchinterval of the process: with the usual 5 ms an inference would wait at each of its many operations
# while an adapter is read and tried
SWITCH_INTERVAL_S = 0.0002


@dataclass(frozen=True, slots=True)
class Listeners:
    """Callbacks; each is called in the constructor or in one of the server's threads."""

    answer: Callable[[Answer], None]
    reloaded: Callable[[ReloadResult], None]
    error: Callable[[str], None]
    warning: Callable[[str], None]
    trial: Callable[[Trial], None] = lambda _: None


class PolicyServer:
    """Checks and warms a policy up and loads its first adapter; serves from `start` to `stop`.

    Args:
        policy: used by this server alone.
        config: how it serves.
        contract: of the robot at hand.
        store: source of the adapters.
        check_config: raises AdapterError when an adapter_config.json does not fit the policy.
        listeners: receive the first adapter before the constructor returns.
        now_ns: ROS time.

    Raises:
        CheckpointError, ConfigError: the policy cannot serve here as configured.
        AdapterError: the first adapter is rejected.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        config: PolicyConfig,
        contract: Contract,
        store: AdapterStore,
        check_config: Callable[[Mapping[str, Any]], None],
        listeners: Listeners,
        now_ns: Callable[[], int],
    ):
        self._policy, self._answer = policy, listeners.answer
        check_policy(policy, contract, config)
        for warning in unit_warnings(policy, contract):
            listeners.warning(f"units of the policy's actions: {warning}")
        warm_up(policy, contract, config)
        second = policy.second_slot()
        self._reloader = reloader = AdapterReloader(
            policy, second, store, contract, config.instruction, check_config, time.perf_counter
        )
        listeners.reloaded(_first(reloader, store, config.adapter_version))
        self._help = HelpRule(config, contract, policy, store, listeners.warning)
        runner = _runner(policy, config, contract, self._help)
        self._inference = InferenceWorker(
            runner, self._on_answer, now_ns, config.lockstep, config.command_wait_s, listeners.error
        )
        self._reload = ReloadWorker(
            reloader,
            self._inference.between,
            store.promotion,
            listeners.reloaded,
            config.promotion != MANUAL,
            config.poll_s,
            listeners.warning,
        )
        self._shadow = Shadow(contract, lambda: self._reload.post(self._step_shadow))
        if config.promotion == STAGED:
            self._reload.staged = StagedPromotion(
                reloader,
                store,
                config.trial,
                self._shadow,
                TrialMeans(
                    self._reload.serve,
                    self._reload.post,
                    now_ns,
                    utc_now,
                    random.random,
                    listeners.trial,
                    listeners.warning,
                    listeners.reloaded,
                ),
            )

    def start(self) -> None:
        """Starts the threads; once."""
        self._inference.start()
        self._reload.start()
        self._help.start()

    @property
    def adapter_version(self) -> int:
        """Adapter that serves; 0 is the base policy."""
        return self._policy.adapter_version

    @property
    def fault(self) -> str:
        """Why the newest answer had no action; empty if it had one."""
        return self._inference.fault

    @property
    def store_fault(self) -> str:
        """Why promotions are not followed now; empty if they are, or need not be."""
        return self._reload.store_fault

    @property
    def adapter_warning(self) -> str:
        """What is wrong with the adapter that serves, or lacking; empty if nothing is."""
        return self._reloader.warning or self._help.warning

    @property
    def trial_text(self) -> str:
        """How the trial of a candidate stands, in words; empty without one."""
        staged = self._reload.staged
        if staged is None:
            return ""
        trial = staged.trial
        return staged.fault or ("" if trial is None else trial.text)

    @property
    def help_wanted(self) -> bool:
        """Whether the policy requests help from its operator."""
        return self._inference.help_wanted

    def observe(self, observation: Observation, fault: str = "") -> None:
        """Hands over an observation; it replaces one that still waits.

        Args:
            observation: the newest.
            fault: why the policy must not act on it: the chunk in force is dropped too, and the fault is the answer.
        """
        if not fault:
            self._shadow.observed(observation)
            self._inference.observe(observation)
            return
        self.clear()
        answer = Answer(observation.stamp_ns, None, Cause.FAULT, fault)
        self.between(lambda: self._answer(answer))

    def executed(self, observation_stamp_ns: int, source: ControlSource, values: np.ndarray | None = None) -> None:
        """Records the command that answered an observation.

        Args:
            observation_stamp_ns: of the observation.
            source: who drove.
            values: (A,) contract units; None: unknown.
        """
        if source is ControlSource.HUMAN and values is not None:
            self._shadow.driven(observation_stamp_ns, values)
        self._inference.executed(observation_stamp_ns, source)

    def on_episode(self, report: EpisodeReport) -> None:
        """Receives an event of the recorder."""
        staged = self._reload.staged
        if staged is not None:
            self._reload.post(lambda: staged.on_episode(report))

    def clear(self) -> None:
        """Drops what waits, and the chunk in force."""
        self._inference.clear()

    def between(self, job: Callable[[], None]) -> None:
        """Runs `job` between two inferences, after those before."""
        self._inference.between(job)

    def load_adapter(self, version: int, reply: Reply) -> None:
        """Requests an adapter; returns at once, `reply` receives the result in another thread."""
        self._reload.request(version, reply)

    def roll_back(self, reply: Reply) -> None:
        """Requests the adapter that served before; as `load_adapter`."""
        self._reload.roll_back(reply)

    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {
            "adapter_version": str(self.adapter_version),
            "adapter_warning": self.adapter_warning,
            "adapter_store_fault": self.store_fault,
            "trial": self.trial_text,
            **self._inference.summary(),
        }

    def stop(self) -> None:
        """Ends the threads."""
        self._help.stop()
        self._reload.stop()
        self._inference.stop()
        if self._reload.staged is not None:
            self._reload.staged.close()

    def _on_answer(self, answer: Answer) -> None:
        self._answer(answer)
        self._shadow.answered(answer)

    def _step_shadow(self) -> None:
        if self._reload.staged is not None:
            self._reload.staged.step_shadow()


def _first(reloader: AdapterReloader, store: AdapterStore, version: int) -> ReloadResult:
    wanted = version
    if version == PROMOTED:
        wanted = reloader.poll(store.promotion()) or 0
    else:
        reloader.pass_over()
    result = reloader.load(wanted)
    if result.state == ReloadState.REJECTED:
        raise AdapterError(f"adapter_version = {version} (config/policy.yaml): {result.reason}")
    return result


def _runner(policy: ServedPolicy, config: PolicyConfig, contract: Contract, help_rule: HelpRule) -> PolicyRunner:
    max_age_ns = round(contract.max_age_s * 1e9)
    return PolicyRunner(
        policy,
        contract,
        config.replan_steps,
        time.perf_counter,
        config.lockstep,
        rows=config.action_horizon or None,
        chunking=make_chunking(config.chunking, config.ensemble_decay, config.committed_rows, max_age_ns),
        help_request=help_rule.request,
    )
