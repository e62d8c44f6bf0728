"""What a session does: rounds of deployment and training, then an evaluation. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_core.errors import ConfigError
from apo_core.tasks.specs import DEFAULT_TASK, fill_from_task, task_names
from apo_core.types import Purpose
from apo_sim_bridge.demonstrations.files import TRIES_PER_EPISODE
from apo_sim_bridge.perturbation.settings import Perturbation


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Parameters of `apo demo` (config/session.yaml)."""

    task: str = parameter(DEFAULT_TASK.name, "task of the simulation", choices=task_names())
    instruction: str = parameter("", "instruction given to the policy; empty: the usual one of the task")
    rounds: int = parameter(3, "deploy-train-reload rounds", low=1, high=1000)
    episodes_per_round: int = parameter(12, "deployment episodes a round", low=1, high=10000)
    evaluation_episodes: int = parameter(
        20, "evaluation episodes for the base and for the last adapter, on the same seeds", low=1, high=10000
    )
    expert_episodes: int = parameter(
        24, "demonstrations for the expert share of each batch; collected when missing", low=1, high=10000
    )
    train_steps: int = parameter(0, "optimizer steps a round; 0: as in config/trainer.yaml", low=0, high=1000000)
    held_out_of: str = parameter(
        "",
        "interactions where the base policy was trained on the demonstrations; empty: as in config/trainer.yaml",
        choices=("", "all", "interactions"),
    )
    seed: int = parameter(
        0,
        "of the session: its training, its operator's tremor and its trials, which come after those of the seed before",
        low=0,
        high=100_000,
    )
    deployment_seed: int = parameter(
        10000, "seed of the first deployment trial; the next ones count up", low=0, high=2**31 - 1
    )
    evaluation_seed: int = parameter(50000, "seed of the first evaluation trial", low=0, high=2**31 - 1)
    expert_seed: int = parameter(90000, "seed of the first demonstration", low=0, high=2**31 - 1)
    lockstep_replan_steps: int = parameter(4, "rows of a chunk executed before the next, in lockstep", low=1, high=1000)
    horizon: int = parameter(0, "control steps after which a trial is cut; 0: the task's", low=0, high=100000)
    start_timeout_s: float = parameter(180.0, "wall time the nodes have to start", low=1.0, high=86400.0)
    answer_timeout_s: float = parameter(
        60.0, "wall time a node has to answer a call, and to report what came of it", low=1.0, high=86400.0
    )
    trial_timeout_s: float = parameter(120.0, "wall time after which a trial counts as stuck", low=1.0, high=86400.0)
    training_timeout_s: float = parameter(
        900.0, "wall time after which a training run counts as stuck", low=1.0, high=86400.0
    )
    perturbation: Perturbation = group(Perturbation)

    def __post_init__(self) -> None:
        fill_from_task(self, "horizon")
        faults = self.perturbation.faults(self.task)
        ranges = [
            ("deployment_seed", self.first_deployment_seed, self._deployments),
            ("evaluation_seed", self.first_evaluation_seed, self.evaluation_episodes),
            ("expert_seed", self.expert_seed, TRIES_PER_EPISODE * self.expert_episodes),
        ]
        for i, (name, start, count) in enumerate(ranges):
            for other, other_start, other_count in ranges[i + 1 :]:
                if start < other_start + other_count and other_start < start + count:
                    faults.append(
                        f"seeds from {name} = {start} and {other} = {other_start} overlap: held-out would be seen"
                    )
        if faults:
            raise ConfigError("session", faults)

    @property
    def _deployments(self) -> int:
        """Trials of all rounds, those in which an adapter is swapped in included."""
        return self.rounds * (self.episodes_per_round + 1)

    @property
    def first_deployment_seed(self) -> int:
        """Of this session."""
        return self.deployment_seed + self.seed * self._deployments

    @property
    def first_evaluation_seed(self) -> int:
        """Of this session."""
        return self.evaluation_seed + self.seed * self.evaluation_episodes

    def timeouts(self) -> dict[str, float]:
        """Parameter -> seconds, of all that limit a wait."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name.endswith("_timeout_s")}


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: a reset to a seed and what happens until it is over."""

    purpose: Purpose
    round: int  # -1 in the evaluation
    index: int
    seed: int
    with_operator: bool

    def tags(self) -> list[str]:
        """Tags stored in the episode file."""
        return [f"purpose={self.purpose}", f"round={self.round}", f"index={self.index}"]


def deployment_trials(config: SessionConfig, round_index: int) -> list[Trial]:
    """Trials of a round, on seeds that no other round uses."""
    first = config.first_deployment_seed + round_index * config.episodes_per_round
    return [
        Trial(Purpose.DEPLOYMENT, round_index, i, first + i, with_operator=True)
        for i in range(config.episodes_per_round)
    ]


def reload_trial(config: SessionConfig, round_index: int) -> Trial:
    """The trial during which the adapter of a round is swapped in, on a seed of its own."""
    seed = config.first_deployment_seed + config.rounds * config.episodes_per_round + round_index
    return Trial(Purpose.RELOAD, round_index, 0, seed, with_operator=False)


def evaluation_trials(config: SessionConfig) -> list[Trial]:
    """Held-out trials, the same for every policy evaluated."""
    return [
        Trial(Purpose.EVALUATION, -1, i, config.first_evaluation_seed + i, with_operator=False)
        for i in range(config.evaluation_episodes)
    ]
