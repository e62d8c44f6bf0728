"""Parameters of `apo collect` (config/collect.yaml)."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_core.errors import ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.tasks.specs import task_spec
from apo_episodes.hdf5.image_codec import COMPRESSIONS
from apo_experiments.config import MAX_SEED
from apo_experiments.loop.simulated_loop import LoopSettings
from apo_experiments.rollouts import Adapter, RolloutSettings
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_teleop.devices.scripted_operator import ScriptedConfig

CONFIG_FILE = "config/collect.yaml"
SECTION = "collect"


@dataclass(frozen=True)
class CollectConfig:
    """Which episodes are collected, with which policy and which operator."""

    operator: ScriptedConfig = group(ScriptedConfig)
    contract_file: str = parameter("config/contract.yaml", "the contract")
    episodes: int = parameter(20, "one a seed", low=1, high=100_000)
    seed: int = parameter(10_000, "of the first episode; the next ones count up", low=0, high=MAX_SEED)
    horizon: int = parameter(0, "steps after which a trial is cut; 0: the task's", low=0, high=100_000)
    success_hold_steps: int = parameter(0, "consecutive steps that must show success; 0: the task's", low=0, high=1000)
    replan_steps: int = parameter(4, "rows of a chunk executed before the next prediction", low=1, high=1000)
    image_compression: str = parameter("zstd", "codec of the images in the episode files", choices=COMPRESSIONS)
    workers: int = parameter(2, "simulations at a time", low=1, high=1024)
    perturbation: Perturbation = group(Perturbation)

    def __post_init__(self) -> None:
        if faults := self.perturbation.faults(self.task):
            raise ConfigError("collect", [f"{fault} ({CONFIG_FILE})" for fault in faults])

    @property
    def task(self) -> str:
        """Of simulation and operator."""
        return self.operator.task

    @property
    def seeds(self) -> range:
        """Of the episodes."""
        return range(self.seed, self.seed + self.episodes)

    def loop(self, checkpoint: str, adapter: Adapter | None) -> LoopSettings:
        """What the episodes depend on.

        Args:
            checkpoint: folder of the base policy; empty: the task's.
            adapter: that drives; None: the base policy.
        """
        spec = task_spec(self.task)
        rollout = RolloutSettings(
            self.task,
            spec.instruction,
            str(shipped(self.contract_file)),
            self.horizon or spec.horizon,
            self.success_hold_steps or spec.success_hold_steps,
            self.perturbation,
        )
        folder = checkpoint or str(shipped(spec.checkpoint_dir))
        return LoopSettings(rollout, self.operator, folder, adapter, self.replan_steps, self.image_compression)
