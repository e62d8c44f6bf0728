"""Measures a policy in the simulation, without ROS, in its usual setting or a perturbed one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apo_core.actions import ANGULAR, LINEAR, shortened
from apo_core.contract.specs import Limits
from apo_core.tasks.course import furthest_stage
from apo_core.tasks.specs import task_spec
from apo_experiments.chunk_driver import ChunkDriver, still
from apo_experiments.failures import FailureKind, Instant, failure_kind, instant
from apo_experiments.processes import results_of
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_sim_bridge.perturbation.streams import CommandLink, FrameLink

if TYPE_CHECKING:
    from apo_vla.policy import VlaPolicy

PROGRESS_S = 10.0  # between reports of progress where there is no terminal


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How an evaluation episode runs."""

    task: str
    instruction: str
    contract_file: str
    horizon: int  # steps
    success_hold_steps: int  # consecutive steps that must show success
    perturbation: Perturbation = field(default_factory=Perturbation)


@dataclass(frozen=True, slots=True)
class Adapter:
    """One version of an adapter store."""

    store: str
    version: int


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """What came of one episode."""

    seed: int
    success: bool
    steps: int
    failure: FailureKind | None = None  # of a trial without success
    stage: str = ""  # the furthest one that the trial came to; "": none


def evaluate_policy(
    checkpoint: Path | str,
    settings: RolloutSettings,
    seeds: Sequence[int],
    progress: Callable[[list[RolloutResult]], None] | None = None,
    workers: int | None = None,
    adapter: Adapter | None = None,
    stop: Callable[[list[RolloutResult]], bool] | None = None,
) -> list[RolloutResult]:
    """Runs one episode a seed with a checkpoint folder's policy; results by seed.

    The simulation is imported in worker processes only.

    Args:
        checkpoint: folder of the base policy.
        settings: how an episode runs.
        seeds: one an episode.
        progress: takes the results so far after every episode.
        workers: processes; up to 2 if None.
        adapter: what is swapped in; None measures the base policy.
        stop: whether the results so far are enough; None: all seeds are run.

    Raises:
        CheckpointError, AdapterError, ConfigError, RuntimeError: from a worker, about checkpoint, adapter, contract or
            simulation.
    """
    results: list[RolloutResult] = []
    with results_of(_run, [(str(checkpoint), adapter, settings, seed) for seed in seeds], workers) as found:
        for result in found:
            results.append(result)
            if progress is not None:
                progress(results)
            if stop is not None and stop(results):
                break
    return results


def within_limits(action: np.ndarray, limits: Limits) -> np.ndarray:
    """The action (7,) with its translation and rotation shortened to the contract's speeds."""
    scaled = action.tolist()
    for part, limit in ((LINEAR, limits.linear_speed), (ANGULAR, limits.angular_speed)):
        scaled[part], _ = shortened(scaled[part], limit)
    return np.array(scaled, np.float32)


_worker: dict = {}


def _load_policy(checkpoint: str, adapter: Adapter | None) -> VlaPolicy:
    """The policy with the adapter swapped in."""
    from apo_core.adapters.store import AdapterStore
    from apo_vla.lora.adapter import settings_of
    from apo_vla.policy import VlaPolicy

    if adapter is None:
        return VlaPolicy.load(checkpoint, lora=None)
    version, tensors = AdapterStore(adapter.store).read(adapter.version)
    shape = settings_of(version.adapter_config)
    policy = VlaPolicy.load(checkpoint, lora=shape)
    policy.swap(policy.stage(tensors), adapter.version)
    return policy


def _run(job: tuple[str, Adapter | None, RolloutSettings, int]) -> RolloutResult:
    checkpoint, adapter, settings, seed = job
    import torch

    from apo_core.contract.contract import load_contract
    from apo_sim_bridge.config import SimBridgeConfig, sim_config
    from apo_sim_bridge.demonstrations.files import frame_observation
    from apo_sim_bridge.sim.env import SimEnv, SimFrame
    from apo_sim_bridge.sim.ground_truth import expert_input, task_stages

    if _worker.get("key") != (checkpoint, adapter, settings):
        torch.set_num_threads(1)
        contract = load_contract(settings.contract_file)
        bridge = SimBridgeConfig(task=settings.task, horizon=settings.horizon, perturbation=settings.perturbation)
        _worker.update(
            key=(checkpoint, adapter, settings),
            contract=contract,
            hold_steps=int(bridge.command_timeout_s * contract.rate_hz + 1e-9),
            policy=_load_policy(checkpoint, adapter),
            env=SimEnv(sim_config(bridge, contract)),
        )
    policy, env, contract = _worker["policy"], _worker["env"], _worker["contract"]
    spec, instants, stages = task_spec(settings.task), list[Instant](), list[dict[str, bool]]()
    streams = settings.perturbation.streams
    images = FrameLink[tuple[int, SimFrame]](streams, contract.image_names, seed) if streams.holds_frames_back else None
    commands = CommandLink(streams, seed, still()) if streams.holds_commands_back else None

    def predict(seen: tuple[int, SimFrame]) -> np.ndarray:
        stamp_ns = (seen[0] + 1) * contract.period_ns
        chunk = policy.predict(frame_observation(seen[1], stamp_ns, settings.instruction))
        return np.stack([within_limits(action, contract.limits) for action in chunk.values])

    driver, frame, held = ChunkDriver(predict, _worker["hold_steps"]), env.reset(seed), 0
    for step in range(settings.horizon):
        seen: tuple[int, SimFrame] | None = (step, frame)
        if images is not None:
            images.send((step, frame), step)
            seen = images.newest_whole(step)
        command = driver.command_without_observation() if seen is None else driver.command(seen[0], seen)
        instants.append(instant(spec, expert_input(frame), command))
        executed = command if commands is None else commands.through(command, step)
        # without delays images are seen once a chunk
        frame = env.step(executed, render=images is not None or driver.predicts_at(step + 1))
        stages.append(task_stages(settings.task, frame))
        held = held + 1 if frame.success else 0
        if held >= settings.success_hold_steps:
            return RolloutResult(seed, True, step + 1, stage=furthest_stage(stages))
    return RolloutResult(seed, False, settings.horizon, failure_kind(spec, instants), furthest_stage(stages))
