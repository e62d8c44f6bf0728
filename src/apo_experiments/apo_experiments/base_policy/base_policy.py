"""`apo base-policy`: makes the policy that the first round deploys, from scripted demonstrations; needs no ROS."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from apo_core.config.parameters import load, parameter, parse_overrides
from apo_core.contract.contract import Contract, load_contract
from apo_core.errors import ApoError, ConfigError
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_core.tasks.specs import DEFAULT_TASK, fill_from_task, task_names, task_spec
from apo_core.wilson import wilson_interval
from apo_episodes.reader import read_episode
from apo_experiments.base_policy.behaviour_cloning import (
    CloningSettings,
    join_demonstrations,
    new_policy,
    small_model,
    statistics_of,
    train,
)
from apo_experiments.base_policy.optimizer import OptimizerSettings
from apo_experiments.base_policy.vision_pretraining import (
    FEWEST_SCENES,
    VisionErrors,
    copy_vision,
    keep_vision,
    kept_vision,
    pretrain_vision,
)
from apo_experiments.rollouts import PROGRESS_S, RolloutResult, RolloutSettings, evaluate_policy
from apo_vla.checkpoints.types import MANIFEST, read_manifest, write_manifest
from apo_vla.families.small_vla.checkpoint import save_checkpoint
from apo_vla.families.small_vla.flow import SmallFlowConfig
from apo_vla.families.small_vla.model import SmallVlaConfig
from apo_vla.families.small_vla.shape import SmallShape
from apo_vla.inputs.prompt import prompt_tokens
from apo_vla.policy import VlaPolicy

CONFIG_FILE = "config/base_policy.yaml"
BINS, FLOW = "bins", "flow"
FLOAT16, INT8 = "float16", "int8"
TASKS_OWN = "task"
_UNSET = {"vision_scenes": -1, "weights": TASKS_OWN}  # 0 of the others: the task's
VIEWS_FOLDER, VISION_FILE = "scene_views", "vision.safetensors"  # beside the demonstrations
# what the training of the vision does not read
_OF_THE_REST = {
    *("held_out_episodes", "decode_tolerance", "flow_steps", "flow_draws", "steps", "evaluate_every", "batch_size"),
    *("learning_rate", "prefix_noise", "prefix_jitter", "action_tolerance"),
    *("weights", "evaluate", "evaluation_seed", "horizon", "success_hold_steps"),
}
_PLACES = ("demonstrations", "output", "overwrite", "vision_from")  # the manifest has the hash of another vision


@dataclasses.dataclass(frozen=True)
class BasePolicyConfig:
    """Everything the base policy depends on."""

    task: str = parameter(DEFAULT_TASK.name, "task of the simulation", choices=task_names())
    contract_file: str = parameter("config/contract.yaml", "the contract")
    demonstrations: str = parameter("data/base_policy", "folder with a folder of demonstrations for each task")
    output: str = parameter("", "checkpoint folder to write; empty: `models/<task>_base`")
    overwrite: bool = parameter(False, "replace a checkpoint that `output` holds")
    episodes: int = parameter(0, "demonstrations; 0: the task's", low=0, high=100_000)
    held_out_episodes: int = parameter(
        8,
        "demonstrations, the next ones by seed, that are only measured, to see when the loss stops falling",
        low=1,
        high=100_000,
    )
    episode_seed: int = parameter(100_000, "seed of the first demonstration", low=0, high=2**31)
    cameras: tuple[str, ...] = parameter(("agentview", "wrist"), "images of the contract that the policy sees")
    state_keys: tuple[str, ...] = parameter(
        ("ee_pose", "gripper_width", "joint_position"), "state of the contract that the policy sees"
    )
    image_size: int = parameter(64, "pixels a side after the crop", low=16, high=512)
    image_tokens: int = parameter(
        2, "tokens of a camera, each of the whole image; 0: one for each square of 16 pixels", low=0, high=256
    )
    hidden: int = parameter(128, "width of the language model", low=8, high=4096)
    layers: int = parameter(3, "layers of the language model", low=1, high=100)
    heads: int = parameter(4, "attention heads; `hidden` is a multiple of twice their number", low=1, high=256)
    mlp: int = parameter(0, "width of the feed-forward part of a layer; 0: the task's", low=0, high=16_384)
    head: str = parameter(
        BINS,
        "how actions are put out; bins: tokens (apo_small_vla); flow: an expert that turns noise into actions "
        "(apo_small_flow)",
        choices=(BINS, FLOW),
    )
    flow_steps: int = parameter(10, "flow: Euler steps from noise to the action", low=1, high=100)
    flow_draws: int = parameter(4, "flow: draws of noise and time for each frame of a step", low=1, high=64)
    decode_tolerance: float = parameter(
        3.0, "bins around an action whose likelihood counts when the policy chooses it; 0: its own", low=0.0, high=64.0
    )
    vision_scenes: int = parameter(
        -1,
        "random scenes on whose pictures vision is trained first; 0: it learns from the demonstrations; -1: the task's",
        low=-1,
        high=100_000,
    )
    vision_from: str = parameter(
        "", "checkpoint with the same cameras and image shape whose image encoders are taken; empty: they are trained"
    )
    vision_seed: int = parameter(600_000, "seed of the first of these scenes", low=0, high=2**31)
    vision_steps: int = parameter(0, "optimizer steps of vision; 0: the task's", low=0, high=1_000_000)
    vision_batch_size: int = parameter(64, "pictures a step of vision", low=1, high=4096)
    vision_learning_rate: float = parameter(1e-3, "AdamW for vision, after the warmup", low=1e-7, high=1.0)
    chunk: int = parameter(4, "actions predicted and executed from one observation", low=1, high=64)
    steps: int = parameter(0, "optimizer steps; 0: the task's", low=0, high=1_000_000)
    evaluate_every: int = parameter(
        0, "steps between measurements of the held-out loss; 0: the task's", low=0, high=1_000_000
    )
    batch_size: int = parameter(32, "frames a step", low=1, high=4096)
    learning_rate: float = parameter(7e-4, "AdamW, after the warmup", low=1e-7, high=1.0)
    warmup_steps: int = parameter(50, "steps of linear warmup", low=0, high=100_000)
    weight_decay: float = parameter(0.01, "AdamW, on matrices", low=0.0, high=1.0)
    max_grad_norm: float = parameter(1.0, "gradients are clipped to this norm", low=1e-6, high=1e6)
    prefix_noise: float = parameter(
        0.3, "share of random tokens among those that an action token is predicted from", low=0.0, high=1.0
    )
    prefix_jitter: float = parameter(4.0, "spread of the noise on the others of them, bins", low=0.0, high=1000.0)
    action_tolerance: float = parameter(
        2.0, "bins off at which an action counts 0.6 of the expert's; 0: the expert's bin alone", low=0.0, high=1000.0
    )
    weights: str = parameter(
        TASKS_OWN,
        "of matrices in the file; int8: half the bytes, a scale for each row; task: the task's",
        choices=(FLOAT16, INT8, TASKS_OWN),
    )
    seed: int = parameter(0, "initial weights, batches, augmentation", low=0, high=2**31)
    threads: int = parameter(2, "CPU threads; another number gives slightly different weights", low=1, high=256)
    evaluate: int = parameter(100, "evaluation episodes, 0 for none", low=0, high=100_000)
    evaluation_seed: int = parameter(200_000, "seed of the first evaluation episode", low=0, high=2**31)
    horizon: int = parameter(0, "steps of an evaluation episode; 0: the task's", low=0, high=100_000)
    success_hold_steps: int = parameter(0, "consecutive steps that must show success; 0: the task's", low=0, high=1000)

    def __post_init__(self) -> None:
        fill_from_task(self, "horizon", "success_hold_steps")
        for name, value in dataclasses.asdict(task_spec(self.task).cloning).items():
            if getattr(self, name) == _UNSET.get(name, 0):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "output", self.output or task_spec(self.task).checkpoint_dir)
        if 0 < self.vision_scenes < FEWEST_SCENES:
            fault = (
                f"vision_scenes = {self.vision_scenes} must be 0 or at least {FEWEST_SCENES}, to have one to measure on"
            )
            raise ConfigError("base policy", [f"{fault} ({CONFIG_FILE})"])


def make_base_policy(config: BasePolicyConfig) -> dict[str, Any]:
    """Collects demonstrations (what is there is kept), trains, saves, measures; returns the manifest.

    Raises:
        ApoError: a fault in the settings, the data or the simulation.
        OSError: a folder cannot be written to.
    """
    from apo_sim_bridge.demonstrations.collect import NoiseBursts, scaled_noise
    from apo_sim_bridge.demonstrations.files import ensure_demonstrations

    line, noise = LiveLine(repeat_s=PROGRESS_S), NoiseBursts()
    torch.set_num_threads(config.threads)
    contract = load_contract(shipped(config.contract_file))
    if not config.overwrite and (Path(config.output) / MANIFEST).exists():
        fault = f"output = {config.output} holds a checkpoint: name another folder, or set overwrite"
        raise ConfigError("base policy", [f"{fault} ({CONFIG_FILE})"])
    _check_folder(Path(config.output))  # fails early where it cannot be written before training
    folder = Path(config.demonstrations) / task_spec(config.task).folder
    wanted = config.episodes + config.held_out_episodes
    paths = ensure_demonstrations(
        config.task, folder, wanted, config.episode_seed, noise, contract=contract, progress=line.update
    )
    data, held_out = (
        join_demonstrations([read_episode(p) for p in part], config.cameras, config.state_keys, config.chunk)
        for part in (paths[: config.episodes], paths[config.episodes :])
    )
    line.note(f"demonstrations: {config.episodes} episodes, {data.num_frames} frames in {folder}")

    shape = _shape(config, contract)
    policy = new_policy(shape, data, contract.sha256, config.seed)
    vision: dict[str, Any] | None = None
    if config.vision_from:
        copy_vision(policy, config.vision_from)
        source = read_manifest(Path(config.vision_from))
        vision = {"sha256": source["sha256"]["model.safetensors"], **(source.get("vision") or {})}
        line.note(f"vision: that of {config.vision_from}")
    elif config.vision_scenes:
        vision = _pretrain_vision(config, policy, contract, folder, line)
    smoothed: list[float] = []

    def report(step: int, loss: float, seconds: float) -> None:
        smoothed.append(loss if not smoothed else 0.95 * smoothed[-1] + 0.05 * loss)
        left = seconds / step * (config.steps - step)
        line.update(f"training: step {step}/{config.steps}, loss {smoothed[-1]:.3f}, {left:.0f} s left")

    settings = CloningSettings(
        OptimizerSettings(config.steps, config.batch_size, config.learning_rate, *_shared(config)),
        evaluate_every=config.evaluate_every,
        train_vision=vision is None,
        prefix_noise=config.prefix_noise,
        prefix_jitter=config.prefix_jitter,
        action_tolerance=config.action_tolerance,
        flow_draws=config.flow_draws,
    )
    started = time.monotonic()
    curves = train(policy, data, settings, report, held_out)
    seconds = time.monotonic() - started
    falling = "has stopped falling" if curves.converged() else "still falls"
    text = f"{curves.held_out[-1][1]:.3f} on held-out demonstrations, where it {falling}" if curves.held_out else ""
    line.note(f"training: {config.steps} steps in {seconds:.0f} s, loss {smoothed[-1]:.3f} {text}")

    unit = "error" if config.head == FLOW else "nats"
    facts: dict[str, Any] = {
        "made_by": "apo base-policy",
        "task": config.task,
        "instruction": task_spec(config.task).instruction,
        "recipe": _recipe(config),
        "noise": dataclasses.asdict(scaled_noise(noise, config.task)),
        "frames": data.num_frames,
        "vision": vision,
        f"final_loss_{unit}": round(smoothed[-1], 4),
        f"held_out_loss_{unit}": [[step, round(loss, 4)] for step, loss in curves.held_out],
        "converged": curves.converged(),
        "train_seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "torch": torch.__version__,
    }
    statistics = statistics_of(data, contract.sha256)
    stored = {FLOAT16: torch.float16, INT8: torch.int8}[config.weights]
    save_checkpoint(Path(config.output), small_model(policy), policy.tokenizer, statistics, facts, stored)
    if config.evaluate:
        facts["evaluation"] = _evaluate(config, task_spec(config.task).instruction, line)
        write_manifest(Path(config.output), facts)
    return read_manifest(Path(config.output))


def _check_folder(folder: Path) -> None:
    """Makes a folder and removes what it made: an empty one would hide the shipped policy of that name."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in made:
        path.rmdir()


def _shape(config: BasePolicyConfig, contract: Contract) -> SmallShape:
    shared: dict[str, Any] = {
        "cameras": config.cameras,
        "state_keys": config.state_keys,
        "state_size": sum(contract.state_spec(key).size for key in config.state_keys),
        "action_size": contract.action.size,
        "chunk": config.chunk,
        "period_ns": contract.period_ns,
        "image_size": config.image_size,
        "image_tokens": config.image_tokens,
        "hidden": config.hidden,
        "layers": config.layers,
        "heads": config.heads,
        "mlp": config.mlp,
        "prompt_length": max(SmallShape.prompt_length, prompt_tokens(task_spec(config.task).instruction)),
    }
    if config.head == FLOW:
        return SmallFlowConfig(**shared, flow_steps=config.flow_steps)
    return SmallVlaConfig(**shared, decode_tolerance=config.decode_tolerance)


def _shared(config: BasePolicyConfig) -> tuple[int, float, float, int]:
    """Warmup, decay, clipping and seed, which cloning and vision have in common."""
    return config.warmup_steps, config.weight_decay, config.max_grad_norm, config.seed


def _pretrain_vision(
    config: BasePolicyConfig, policy: VlaPolicy, contract: Contract, folder: Path, line: LiveLine
) -> dict[str, Any]:
    """Trains the image encoders on random scenes; returns the errors that are left on scenes not trained on."""
    from apo_sim_bridge.demonstrations.scene_views import SceneViewSettings, ensure_scene_views, view_symmetries

    scenes = SceneViewSettings(config.task, config.vision_scenes, config.vision_seed, config.cameras, config.state_keys)
    made_from = {name: value for name, value in _recipe(config).items() if name not in _OF_THE_REST}
    made_from |= {"contract_sha256": contract.sha256, "torch": torch.__version__}
    if (known := kept_vision(folder / VISION_FILE, policy, made_from)) is not None:
        line.note(f"vision: that of {folder / VISION_FILE}")
        return _vision_facts(known)
    views = ensure_scene_views(scenes, folder / VIEWS_FOLDER, contract, line.update)
    line.note(f"pictures of random scenes: {len(views.scenes)} of {config.vision_scenes} scenes")

    def report(step: int, loss: float, seconds: float) -> None:
        left = seconds / step * (config.vision_steps - step)
        line.update(f"vision: step {step}/{config.vision_steps}, loss {loss:.3f}, {left:.0f} s left")

    settings = OptimizerSettings(
        config.vision_steps, config.vision_batch_size, config.vision_learning_rate, *_shared(config)
    )
    errors = pretrain_vision(policy, views, settings, view_symmetries(config.task), report)
    line.note(
        f"vision: {errors.sideways_mm:.1f} mm sideways, {errors.height_mm:.1f} mm in height, {errors.yaw_deg:.0f} deg"
    )
    keep_vision(folder / VISION_FILE, policy, errors, made_from)
    return _vision_facts(errors)


def _vision_facts(errors: VisionErrors) -> dict[str, Any]:
    return {name: round(value, 2) for name, value in dataclasses.asdict(errors).items()}


def _recipe(config: BasePolicyConfig) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in _PLACES}


def _evaluate(config: BasePolicyConfig, instruction: str, line: LiveLine) -> dict[str, Any]:
    started = time.monotonic()

    def report(results: list[RolloutResult]) -> None:
        left = (time.monotonic() - started) / len(results) * (config.evaluate - len(results))
        count = sum(r.success for r in results)
        line.update(f"evaluation: {count} of {len(results)} succeeded, {config.evaluate} wanted, {left:.0f} s left")

    settings = RolloutSettings(
        config.task, instruction, str(shipped(config.contract_file)), config.horizon, config.success_hold_steps
    )
    seeds = range(config.evaluation_seed, config.evaluation_seed + config.evaluate)
    results = evaluate_policy(config.output, settings, seeds, report)
    successes = sum(r.success for r in results)
    low, high = wilson_interval(successes, len(results))
    line.note(
        f"evaluation: {successes} of {len(results)} succeeded ({successes / len(results):.0%}, "
        f"95 % interval {low:.0%} .. {high:.0%})"
    )
    return {
        "n": len(results),
        "successes": successes,
        "success_rate": successes / len(results),
        "ci95": [round(low, 4), round(high, 4)],
        "first_seed": seeds.start,
        "horizon": config.horizon,
        "success_hold_steps": config.success_hold_steps,
        "executed_steps_per_chunk": config.chunk,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    parser = argparse.ArgumentParser(prog="apo base-policy", description=__doc__)
    parser.add_argument("--config", default=CONFIG_FILE, help="parameter file (default %(default)s)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of that file"
    )
    options = parser.parse_args(argv)
    try:
        config = load(BasePolicyConfig, shipped(options.config), "base_policy", parse_overrides(options.set))
        manifest = make_base_policy(config)
    except (ApoError, OSError) as error:
        print(f"apo base-policy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\napo base-policy: stopped; finished demonstrations and pictures are kept", file=sys.stderr)
        return 130
    print(f"checkpoint: {config.output}, {manifest['parameters'] / 1e6:.1f} M parameters")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
