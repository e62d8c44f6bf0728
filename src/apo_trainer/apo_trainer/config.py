"""Parameters of the trainer, read from config/trainer.yaml with and without ROS."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from apo_core.config.parameters import group, load, parameter, parameter_values
from apo_core.errors import ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.tasks.specs import DEFAULT_TASK
from apo_episodes.labeling import UNDESIRABLE_RULES, LabelRule
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.lora.shape import LoraShape

# method -> its module and class in apo_trainer.methods; text, so that reading a configuration imports no torch
METHOD_CLASSES = {
    "apo": "apo.Apo",
    "apo_plus": "apo_plus.ApoPlus",
    "apo_reference_compat": "apo_released.ApoReferenceCompat",
    "kto": "kto.Kto",
    "dpo": "dpo.Dpo",
    "rpro": "rpro.Rpro",
    "tpo": "tpo.Tpo",
    "dagger": "dagger.Dagger",
    "sirius": "sirius.Sirius",
    "bc": "bc.BehaviourCloning",
    "sft": "bc.BehaviourCloning",  # the name it has among language models
}
METHOD_NAMES = tuple(METHOD_CLASSES)
TRACKER_NAMES = ("tensorboard", "mlflow", "wandb")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything an adapter depends on beside its data; hashed into its manifest."""

    method: str = parameter(
        "apo_plus", "how a batch is drawn and what its loss is (docs/reference/methods.md)", choices=METHOD_NAMES
    )
    start_from: str = parameter(
        "serving",
        "what a run trains from: the base policy, or the adapter that serves",
        choices=("base", "serving"),
    )
    reference: str = parameter(
        "base",
        "policy that log-ratios and gate compare with: the one that the run trains from, or always the base policy",
        choices=("start", "base"),
    )
    steps: int = parameter(
        100,
        "optimizer steps of an update, beside imitation_steps; 0: as many as `passes` over the data take",
        low=0,
        high=1_000_000,
    )
    passes: float = parameter(
        1.5, "with steps = 0: how often a human or undesirable step is drawn on average", low=0.01, high=1000.0
    )
    min_steps: int = parameter(30, "with steps = 0: at least so many", low=1, high=1_000_000)
    max_steps: int = parameter(200, "with steps = 0: at most so many", low=1, high=1_000_000)
    batch_size: int = parameter(32, "samples a step", low=1, high=4096)
    micro_batch_size: int = parameter(
        0,
        "rows that go through the model at once; 0: the whole batch; less memory, a third more time",
        low=0,
        high=4096,
    )
    gradient_checkpointing: bool = parameter(
        False, "the backward pass computes each layer again: less memory, a third more time"
    )
    precision: str = parameter(
        "float32",
        "of matrix products; bfloat16 where the processor has it; log-softmax and loss stay float32",
        choices=("float32", "bfloat16"),
    )
    optimizer: str = parameter(
        "muon",
        "muon needs about half the steps, and takes about six times the rate of adamw; it trains matrices only",
        choices=("muon", "adamw"),
    )
    learning_rate: float = parameter(6e-3, "after the warmup; 0.001 for adamw", low=0.0, high=1.0)
    warmup_steps: int = parameter(10, "steps of linear warmup", low=0, high=100_000)
    learning_rate_end: float = parameter(0.1, "share of the rate that is left at the last step", low=0.0, high=1.0)
    weight_decay: float = parameter(0.0, "share of a weight, times the rate, that a step takes away", low=0.0, high=1.0)
    max_grad_norm: float = parameter(1.0, "gradients are clipped to this norm", low=1e-6, high=1e6)
    beta: float = parameter(
        0.5, "sharpness of the preference value, 1/nats; the paper has 0.1 for 7 tokens", low=1e-6, high=100.0
    )
    beta_desirable: float = parameter(1.0, "beta_D of the adaptive weights (apo)", low=1e-6, high=1000.0)
    beta_undesirable: float = parameter(1.0, "beta_U of the adaptive weights (apo)", low=1e-6, high=1000.0)
    weights_relative_to: str = parameter(
        "mean",
        "errors behind the adaptive weights: sum is the paper's (shrinks with the batch size), mean is free of it",
        choices=("sum", "mean"),
    )
    kl_max: float = parameter(0.0, "upper limit of z0 in nats; 0 has none", low=0.0, high=1e6)
    kl_pairs: int = parameter(4, "mismatched pairs a step behind z0; 0 takes one for every sample", low=0, high=4096)
    share_expert: float = parameter(0.5, "of a batch: demonstrations", low=0.0, high=1.0)
    share_human: float = parameter(0.25, "of a batch: steps driven by the operator", low=0.0, high=1.0)
    share_undesirable: float = parameter(0.25, "of a batch: policy steps before a takeover", low=0.0, high=1.0)
    balance_robots: bool = parameter(
        True, "interactions of each robot (tag `robot`) are drawn as often as those of any other (the apo methods, kto)"
    )
    policy_share: float = parameter(0.0, "part of the expert share given to desirable policy steps", low=0.0, high=1.0)
    shadow_share: float = parameter(
        0.0,
        "part of the undesirable share given to what the policy would have done where the operator drove (apo, kto)",
        low=0.0,
        high=1.0,
    )
    rpro_alpha: float = parameter(
        1.0,
        "rpro: weight of the proximal term, which holds both actions near the reference",
        low=0.0,
        high=1e3,
    )
    negative_noise: float = parameter(
        0.3,
        "dpo: spread of a synthetic negative action around the recorded one, normalised action units",
        low=0.0,
        high=2.0,
    )
    tpo_window: int = parameter(4, "tpo: steps of a window of a trajectory", low=1, high=1000)
    label_rule: LabelRule = group(LabelRule)
    k_from: str = parameter(
        "fixed",
        "K of last_k: undesirable_steps, or the median window that another rule finds in the episodes",
        choices=("fixed", *UNDESIRABLE_RULES[1:]),
    )
    undesirable_of: str = parameter(
        "all",
        "which undesirable steps are used: those of every adapter, of the adapter that the run starts from, or those "
        "that the reference could have taken",
        choices=("all", "parent", "likely"),
    )
    undesirable_min_logp: float = parameter(
        -3.0, "likely: mean log-probability a token of the step's chunk under the reference, nats", low=-100.0, high=0.0
    )
    undesirable_keep_at_least: int = parameter(
        50, "likely: the most likely so many stay, whatever their log-probability", low=0, high=1_000_000
    )
    lora: LoraShape = group(LoraShape)
    likelihood: LikelihoodSettings = group(LikelihoodSettings)
    lora_dropout: float = parameter(0.0, "dropout in front of the adapter", low=0.0, high=0.9)
    nll_weight: float = parameter(
        -1.0,
        "preference methods: weight of the mean -log pi a token of desirable steps in the loss; -1: the method's own, "
        "2 of apo_plus and 0 of the others",
        low=-1.0,
        high=1e3,
    )
    imitation_steps: int = parameter(
        0,
        "optimizer steps before the others, in which the loss is the mean -log pi a token of desirable steps",
        low=0,
        high=1_000_000,
    )
    imitation_targets: str = parameter(
        "",
        "regular expression over module names: layers of the adapter that only imitation_steps train, which train no "
        "others; empty: all steps train all",
    )
    prefix_noise: float = parameter(
        0.3,
        "share of the action tokens before a predicted one that are random in training, so that the policy looks and "
        "does not only continue its tokens; policies of bins",
        low=0.0,
        high=1.0,
    )
    prefix_jitter: float = parameter(
        4.0, "spread of the noise on the others of these tokens, bins", low=0.0, high=1000.0
    )
    ema_decay: float = parameter(
        0.9,
        "the adapter is a running mean of the weights, which keeps this share a step; 0: the last weights",
        low=0.0,
        high=0.9999,
    )
    judge_every: int = parameter(
        0,
        "steps between measurements of the held-out error; the weights of the least become the adapter; 0: the last do",
        low=0,
        high=1_000_000,
    )
    views: int = parameter(1, "augmented views of a sample; 1 is the plain centre crop of serving", low=1, high=1000)
    held_out_share: float = parameter(
        0.15, "episodes never trained on, chosen by a hash of their content", low=0.0, high=0.9
    )
    held_out_of: str = parameter(
        "all",
        "episodes that may be held out; interactions where the base policy was trained on the demonstrations, as its "
        "error on those is no measure",
        choices=("all", "interactions"),
    )
    held_out_samples: int = parameter(64, "at most so many held-out samples a class", low=1, high=100_000)
    gate_rise_nats: float = parameter(
        0.0, "mean log-ratio of held-out demonstrated and corrected steps must be above this", low=-1e6, high=1e6
    )
    gate_fall_nats: float = parameter(
        0.0, "mean log-ratio of held-out undesirable steps must be below minus this", low=-1e6, high=1e6
    )
    gate_l1_tolerance: float = parameter(
        0.1,
        "held-out L1 error may exceed the reference's, and the serving adapter's, by this share of it",
        low=0.0,
        high=100.0,
    )
    gate_min_samples: int = parameter(
        1, "held-out demonstrated and corrected steps needed to judge by; 0 lets pass unjudged", low=0, high=100_000
    )
    gate_undesirable_samples: int = parameter(
        100, "held-out undesirable steps from which on they are judged; fewer are only noted", low=1, high=100_000
    )
    gate_edge_rise: float = parameter(
        0.1,
        "share of decoded tokens at an edge of the range may exceed the reference's by this",
        low=0.0,
        high=1.0,
    )
    gate_own_success_nats: float = parameter(
        -60.0, "mean log-ratio of held-out policy steps of unaided successes must not be below", low=-1e6, high=1e6
    )
    guard_undesirable_nats: float = parameter(
        -80.0, "a mean undesirable log-ratio below this stops the run: it is running away", low=-1e6, high=0.0
    )
    guard_window: int = parameter(10, "steps that the guard and target_kl average over", low=1, high=10_000)
    target_kl: float = parameter(
        0.0, "the run ends when z0 has a mean above this, nats: more steps would overshoot; 0: never", low=0.0, high=1e6
    )
    seed: int = parameter(0, "fixes batches, views and initial weights", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        faults = []
        total = self.share_expert + self.share_human + self.share_undesirable
        if abs(total - 1.0) > 1e-6:
            faults.append(f"share_expert + share_human + share_undesirable = {total:g} must be 1 (config/trainer.yaml)")
        rule = self.label_rule.undesirable_rule
        if self.k_from != "fixed" and rule != "last_k":
            faults.append(
                f"k_from = {self.k_from!r} needs undesirable_rule = 'last_k', not {rule!r}: "
                "only last_k has a K (config/trainer.yaml)"
            )
        if self.min_steps > self.max_steps:
            faults.append(
                f"min_steps = {self.min_steps} must not be above max_steps = {self.max_steps} (config/trainer.yaml)"
            )
        if self.imitation_targets and not self.imitation_steps:
            faults.append(
                f"imitation_targets = {self.imitation_targets!r} needs imitation_steps above 0 (config/trainer.yaml)"
            )
        try:
            re.compile(self.imitation_targets)
        except re.error as error:
            faults.append(
                f"imitation_targets = {self.imitation_targets!r} is no regular expression: {error} "
                "(config/trainer.yaml)"
            )
        if faults:
            raise ConfigError("trainer", faults)

    def parent_of(self, serving: int) -> int:
        """Adapter that a run starts from which is to replace adapter `serving`; 0 is the base policy."""
        return serving if self.start_from == "serving" else 0

    @property
    def facts(self) -> dict[str, Any]:
        """The values of all parameters by name, groups included."""
        return parameter_values(self)

    @property
    def sha256(self) -> str:
        """Hash of the values, whatever file they came from."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class TrainerConfig:
    """A training, and what program and node need around it: where things are, and how much of the machine to use."""

    training: TrainingConfig = group(TrainingConfig)
    checkpoint_dir: str = parameter(DEFAULT_TASK.checkpoint_dir, "folder of the base policy")
    episode_dir: str = parameter("runs/episodes", "folder of the recorder's episode files")
    expert_dir: str = parameter(DEFAULT_TASK.expert_dir, "folder of demonstrations; may be empty")
    adapter_dir: str = parameter("runs/adapters", "adapter store that receives the result")
    promote: bool = parameter(True, "an adapter that passes the gate becomes the one that policies serve")
    signing_key: str = parameter("", "private key (PEM) that signs adapters (apo adapters keygen); empty: not signed")
    run_dir: str = parameter("runs/training", "folder of the runs' metrics and results")
    device: str = parameter("cpu", "torch device")
    threads: int = parameter(0, "CPU threads; 0: OMP_NUM_THREADS, or all cores but one", low=0, high=1024)
    feature_cache_mb: int = parameter(512, "memory for vision features", low=0, high=1_000_000)
    reference_cache: bool = parameter(
        True, "keep the reference's log-probabilities for later runs, in reference_cache beside the run's folder"
    )
    workers: int = parameter(0, "threads that read and prepare images ahead of their use", low=0, high=64)
    resume_every_steps: int = parameter(
        25, "optimizer steps between what `--resume` can go on from; 0: none", low=0, high=1_000_000
    )
    progress_s: float = parameter(0.5, "seconds between progress reports", low=0.0, high=3600.0)
    tracker: str = parameter(
        "tensorboard",
        "where the curves of a run go beside metrics.jsonl: tensorboard, mlflow, wandb, several as in "
        "'tensorboard, mlflow', or none",
    )
    tracker_project: str = parameter("apo", "experiment of MLflow, project of Weights & Biases")
    mlflow_uri: str = parameter(
        "",
        "mlflow: tracking server, folder or database; empty: MLFLOW_TRACKING_URI, else the folder mlflow beside the "
        "runs' folders",
    )
    wandb_mode: str = parameter(
        "offline",
        "wandb: offline writes into the run's folder, for `wandb sync`; online needs its login",
        choices=("offline", "online"),
    )
    niceness: int = parameter(10, "of the training process; above 0 a serving policy goes first", low=0, high=19)
    every_n_episodes: int = parameter(
        20, "new sound episodes that start a run of the node; 0: none do", low=0, high=1_000_000
    )
    train_every_s: float = parameter(
        0.0, "seconds after which a run starts when there are new episodes; 0: never", low=0.0, high=1e8
    )
    train_at: str = parameter("", "quoted local times of the day, e.g. '02:30, 14:00', at which a run starts likewise")
    look_s: float = parameter(2.0, "seconds between looks of the node into episode_dir", low=0.05, high=3600.0)
    stop_timeout_s: float = parameter(10.0, "seconds a stopped run has before it is killed", low=0.1, high=600.0)

    def __post_init__(self) -> None:
        names = self.trackers
        unknown = [name for name in names if name not in TRACKER_NAMES]
        if unknown or len(set(names)) < len(names):
            raise ConfigError(
                "trainer",
                [
                    f"tracker = {self.tracker!r} must be none, or some of {', '.join(TRACKER_NAMES)}, each once "
                    "(config/trainer.yaml)"
                ],
            )

    @property
    def trackers(self) -> tuple[str, ...]:
        """Names of the trackers; empty for none."""
        if self.tracker.strip() == "none":
            return ()
        return tuple(name.strip() for name in self.tracker.split(","))


def read_config(path: Path | str, overrides: dict[str, Any] | None = None) -> TrainerConfig:
    """Reads the trainer's section of a ROS parameter file; a checkpoint_dir that is not there may be a shipped one.

    Raises:
        ConfigError: every fault in it.
    """
    config = load(TrainerConfig, Path(path), "trainer", overrides)
    return replace(config, checkpoint_dir=str(shipped(config.checkpoint_dir)))


def check_typed_folders(typed: Mapping[str, Path | str | None]) -> None:
    """For folders on the command line; one of the parameter file may come later.

    Args:
        typed: option -> folder; None where the option was not given.

    Raises:
        ConfigError: folders that are not there.
    """
    faults = [f"{option} {folder}: there is no such folder" for option, folder in typed.items() if _is_missing(folder)]
    if faults:
        raise ConfigError("command line", faults)


def _is_missing(folder: Path | str | None) -> bool:
    return folder is not None and bool(folder) and not Path(folder).is_dir()


def write_config(config: TrainerConfig, path: Path) -> None:
    """Writes a ROS parameter file that `read_config` reads back to the same values."""
    document = {"trainer": {"ros__parameters": parameter_values(config)}}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
