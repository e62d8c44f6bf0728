"""A trial of the whole loop in one process and in simulated time: simulation, policy, arbiter, operator, recorder.

These are the classes behind the nodes in lockstep, without messages between them. So an episode depends on its seed and
on the settings alone, and several loops can run side by side.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from apo_core.actions import GRIPPER, TWIST, GripperScale
from apo_core.contract.contract import Contract, load_contract
from apo_core.contract.frames import Header
from apo_core.served_policy import ServedPolicy
from apo_core.types import ControlSource, ExecutedCommand, Observation, Outcome, TaskProgress
from apo_episodes.reader import read_episode
from apo_experiments.rollouts import Adapter, RolloutSettings
from apo_policy_node.inference.runner import PolicyRunner
from apo_recorder.config import RecorderConfig
from apo_recorder.recording import Recording
from apo_recorder.requests import episode_id
from apo_recorder.writer_thread import EpisodeWriterThread, EventKind
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.demonstrations.files import frame_observation
from apo_sim_bridge.late_ticks import LateTicks, Tick
from apo_sim_bridge.pending_command import Execution, PendingCommand, command_link
from apo_sim_bridge.sim.env import GRIPPER_CLOSED_M, GRIPPER_OPEN_M, SimEnv, SimFrame
from apo_sim_bridge.sim.ground_truth import expert_input, task_remaining, task_stages
from apo_sim_bridge.trial import Trial, TrialRules
from apo_teleop.arbiter.arbiter import Arbiter
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.control_loop import ControlLoop
from apo_teleop.arbiter.estop import EstopSignal
from apo_teleop.arbiter.types import ControlState, Decision
from apo_teleop.devices.scripted_operator import ScriptedConfig, ScriptedInput, ScriptedOperator

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # a seed later: when an episode was created, in simulated time
_OPERATOR = "scripted"


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What an episode depends on beside its seed."""

    rollout: RolloutSettings
    operator: ScriptedConfig  # its task is that of `rollout`
    checkpoint: str  # folder of the base policy
    adapter: Adapter | None  # None: the base policy drives
    replan_steps: int  # rows of a chunk executed before the next
    image_compression: str  # see EpisodeWriter


@dataclass(frozen=True, slots=True)
class TrialFacts:
    """What came of an episode."""

    seed: int
    success: bool
    steps: int
    human_steps: int  # that the operator drove
    takeovers: int


def episode_path(directory: Path, task: str, seed: int) -> Path:
    """The file of a seed's episode."""
    return directory / f"{episode_id(_created(seed), task)}.h5"


def trial_facts(path: Path) -> TrialFacts:
    """Of an episode file. Raises EpisodeFormatError for a damaged one."""
    episode = read_episode(path, images=False)
    return TrialFacts(
        seed=episode.info.seed,
        success=episode.outcome.outcome is Outcome.SUCCESS,
        steps=len(episode.sources),
        human_steps=sum(source == ControlSource.HUMAN for source in episode.sources),
        takeovers=len(episode.takeovers),
    )


class SimulatedLoop:
    """Runs trials one after the other; each begins with nodes as new.

    Args:
        settings: of all trials.
        policy: serves `settings.adapter`.
    """

    def __init__(self, settings: LoopSettings, policy: ServedPolicy):
        self._settings, self._policy, rollout = settings, policy, settings.rollout
        self._contract = load_contract(rollout.contract_file)
        self._bridge = SimBridgeConfig(
            task=rollout.task, horizon=rollout.horizon, perturbation=rollout.perturbation, lockstep=True
        )
        self._env = SimEnv(sim_config(self._bridge, self._contract))

    def close(self) -> None:
        """Frees the simulation."""
        self._env.close()

    def run(self, seed: int, directory: Path) -> Path:
        """Runs the trial of a seed; returns its episode file.

        Raises:
            FileExistsError: the episode is there already, or what a crash left of it.
            OSError: it cannot be written.
        """
        settings, rollout = self._settings, self._settings.rollout
        rules = TrialRules(self._contract.period_ns, rollout.horizon, rollout.success_hold_steps)
        trial, frame = Trial(rules, 0), self._env.reset(seed)
        trial.reset(seed)
        late = LateTicks(rollout.perturbation.streams, self._contract.image_names)
        arm = _Arm(self._bridge, self._contract, seed)
        writer = EpisodeWriterThread(directory, self._contract, settings.image_compression, rollout.horizon + 1)
        try:
            nodes = _Nodes(settings, self._contract, self._policy, writer)
            while True:
                left, stages = task_remaining(rollout.task, frame), task_stages(rollout.task, frame)
                tick = late.whole(late.sense(frame, trial, left, stages))
                if tick is not None:
                    arm.put(nodes.answer(tick), tick.trial.stamp_ns, trial.stamp_ns)
                if not trial.running:
                    break  # nothing executes the last command
                execution = arm.take(trial)
                frame = self._env.step(execution.action)
                trial.advance(frame.success, execution.observation_stamp_ns)
        finally:
            writer.close()
        (end,) = [event for event in writer.events() if event.kind is not EventKind.STARTED]
        if end.path is None:
            raise OSError(f"episode of seed {seed} was not saved: {end.reason}")
        return end.path


class _Arm:
    """What the bridge node does with the commands of one trial."""

    def __init__(self, config: SimBridgeConfig, contract: Contract, seed: int):
        self._gripper, self._frame_id = GripperScale(GRIPPER_OPEN_M, GRIPPER_CLOSED_M), contract.frame_id
        timeout_ns, action = round(config.command_timeout_s * 1e9), contract.action
        self._command = PendingCommand(action.low, action.high, self._frame_id, self._gripper, timeout_ns)
        self._link = command_link(config.perturbation.streams, seed)

    def put(self, values: np.ndarray, stamp_ns: int, now_ns: int) -> None:
        """A command (A,), contract units, that answers the observation of a stamp."""
        twist = values[TWIST].astype(np.float64)
        fault = self._command.put_twist(twist, self._frame_id, stamp_ns, now_ns)
        fault = fault or self._command.put_gripper(self._gripper.position(float(values[GRIPPER])), stamp_ns)
        if fault:  # the arbiter's limits are those of the bridge
            raise RuntimeError(f"command {values.tolist()}: {fault}")

    def take(self, trial: Trial) -> Execution:
        """What is executed now."""
        newest = self._command.take(trial.stamp_ns)
        return self._link.through(newest, trial.step) if self._link is not None else newest


class _Nodes:
    """Everything behind the other nodes, for one trial."""

    def __init__(self, settings: LoopSettings, contract: Contract, policy: ServedPolicy, writer: EpisodeWriterThread):
        rollout, config = settings.rollout, ArbiterConfig(lockstep=True, start_enabled=True)
        self._instruction, self._perturbation, self._contract = rollout.instruction, rollout.perturbation.text, contract
        self._runner = PolicyRunner(policy, contract, settings.replan_steps, time.perf_counter, lockstep=True)
        self._loop = ControlLoop(Arbiter(config, contract), config, contract, EstopSignal())
        self._loop.on_adapter((0, policy.adapter_version), 0)
        self._operator = ScriptedOperator(replace(settings.operator, task=rollout.task), contract.period_ns)
        recorder = RecorderConfig(
            task=rollout.task, instruction=rollout.instruction, operator_name=_OPERATOR, lockstep=True, auto=True
        )
        self._recording = Recording(recorder, contract, writer)

    def answer(self, tick: Tick) -> np.ndarray:
        """Records and answers a tick of the bridge; returns the action (A,), contract units."""
        stamp_ns, now = tick.trial.stamp_ns, _created(tick.trial.seed)
        observation = frame_observation(tick.frame, stamp_ns, self._instruction)
        for name, value in (*observation.images.items(), *observation.state.items()):
            self._recording.on_sample(name, stamp_ns, value, stamp_ns)
        self._recording.on_progress(self._progress(tick), stamp_ns, now)
        decision = self._decide(tick.frame, tick.trial, observation)
        self._recording.on_command(self._command(decision, stamp_ns))
        self._runner.executed(decision.source)
        return decision.values

    def _decide(self, frame: SimFrame, trial: Trial, observation: Observation) -> Decision:
        stamp_ns, last = trial.stamp_ns, self._loop.record.decision
        latched = last is not None and last.latched and last.state is not ControlState.ESTOP
        seen = ScriptedInput(
            stamp_ns, expert_input(frame), trial.number, trial.seed, trial.step, trial.running, latched
        )
        sample, answer = self._operator.step(seen), self._runner.answer(observation, stamp_ns)
        header = Header(stamp_ns, self._contract.frame_id)
        self._loop.on_pose(header, frame.ee_position.tolist(), frame.ee_quaternion.tolist(), stamp_ns)
        self._loop.on_operator(
            header, sample.connected, sample.active, sample.values, sample.events, stamp_ns, stamp_ns
        )
        decision = self._loop.on_chunk(header, answer.chunk, answer.fault, stamp_ns)
        assert decision is not None  # pose, operator and policy have this stamp
        return decision

    def _progress(self, tick: Tick) -> TaskProgress:
        trial = tick.trial
        return TaskProgress(
            stamp_ns=trial.stamp_ns,
            trial=trial.number,
            seed=trial.seed,
            running=trial.running,
            success=trial.success,
            truncated=trial.truncated,
            last_observation_stamp_ns=trial.last_observation_stamp_ns,
            remaining=tick.remaining_m,
            perturbation=self._perturbation,
            stages=tick.stages,
        )

    def _command(self, decision: Decision, stamp_ns: int) -> ExecutedCommand:
        return ExecutedCommand(
            tick=self._loop.record.ticks,
            stamp_ns=stamp_ns,
            observation_stamp_ns=decision.observation_stamp_ns,
            chunk_stamp_ns=decision.chunk_stamp_ns,
            receive_ns=stamp_ns,
            action=decision.values,
            policy_action=decision.policy_values,
            human_action=decision.human_values,
            source=decision.source,
            reason=str(decision.reason),
            adapter_version=decision.adapter_version,
            clipped=",".join(decision.clipped),
            policy_tokens=decision.policy_tokens,
        )


def _created(seed: int) -> datetime:
    return _EPOCH + timedelta(seconds=seed)
