"""Small episode files with chosen sources."""

import signal
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_contract import contract_data

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Observation, Outcome, Step
from apo_episodes.writer import EpisodeWriter

SOURCES = {"P": ControlSource.POLICY, "H": ControlSource.HUMAN, "-": ControlSource.HOLD}


def small_contract(rate_hz: float = 20.0) -> Contract:
    action = {"names": ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"], "units": ["m/s"] * 3 + ["rad/s"] * 3 + ["1"]}
    data = contract_data(
        rate_hz=rate_hz,
        tolerance_s=0.025,
        images={"front": {"topic": "front/image_raw", "height": 8, "width": 8, "encoding": "rgb8"}},
        state={"ee_pose": {"topic": "ee_pose", "type": "std_msgs/msg/Float64MultiArray", "size": 7, "unit": "m"}},
        action={**action, "low": [-1.0] * 7, "high": [1.0] * 7},
    )
    return contract_from_dict(data, "test")


@pytest.fixture(autouse=True)
def signals_as_before():
    """The training program catches signals, and tests call it in their own process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def contract() -> Contract:
    return small_contract()


@pytest.fixture
def contract_of_rate():
    """Makes the same contract for another control rate [Hz]."""
    return small_contract


@pytest.fixture
def write_episode(tmp_path: Path):
    """Writes an episode from a text of P (policy), H (human) and - (hold), one letter a step, and returns its path.

    Executed actions are 0.01 * step where the policy drove and 0.5 + 0.01 * step where a person did, in every
    dimension, with 0.1 added to the execution of `noise` steps; the front image is all `step`; each id has a
    seed of its own.
    """

    def write(
        episode_id: str,
        sources: str,
        kind: EpisodeKind = EpisodeKind.INTERACTION,
        outcome: Outcome = Outcome.SUCCESS,
        contract: Contract | None = None,
        lost_ticks: tuple[int, ...] = (),
        human_recorded: bool = True,
        noise: tuple[int, ...] = (),
        directory: Path | None = None,
        tags: dict[str, str] | None = None,
    ) -> Path:
        contract = contract or small_contract()
        seed, created = zlib.crc32(episode_id.encode()), "2025-01-01T00:00:00Z"
        info = EpisodeInfo(episode_id, kind, "Lift", "lift the cube", seed, "test", contract.json, created, tags or {})
        writer = EpisodeWriter(directory or tmp_path / "episodes", info, contract)
        tick = 0
        for step, letter in enumerate(sources):
            tick += 2 if step in lost_ticks else 1
            wanted = np.full(7, 0.01 * step + (0.5 if letter == "H" else 0.0), np.float32)
            executed = wanted + np.float32(0.1 if step in noise else 0.0)
            is_human = letter == "H" and human_recorded
            writer.append(
                Step(
                    tick=tick,
                    observation=Observation(
                        stamp_ns=1 + step * contract.period_ns,
                        images={"front": np.full((8, 8, 3), step, np.uint8)},
                        state={"ee_pose": np.full(7, step, np.float32)},
                        instruction="lift the cube",
                    ),
                    executed_action=executed,
                    policy_action=wanted if letter == "P" else None,
                    human_action=wanted if is_human else None,
                    source=SOURCES[letter],
                    reason="test",
                    adapter_version=0,
                    command_stamp_ns=2 + step * contract.period_ns,
                    chunk_stamp_ns=0,
                    receive_ns=step,
                )
            )
        return writer.finish(EpisodeOutcome(outcome, "test", True, False))

    return write


@pytest.fixture
def tiny_model():
    """A policy of 10,000 random weights for the small contract, chunk of 2 rows, and what belongs to it."""
    import torch
    from small_policy import plain_statistics, random_model, small_config

    from apo_vla.inputs.prompt import build_tokenizer

    torch.set_num_threads(1)  # several threads only wait for each other on a model this small
    statistics = plain_statistics(small_contract(), state_mean=5.0, state_std=3.0)
    return random_model(small_config()), build_tokenizer(["lift the cube"]), statistics


@pytest.fixture
def interactions(write_episode, tmp_path: Path) -> Path:
    """A folder with eight episodes in which the operator takes over, sources PPPPPHHH."""
    folder = tmp_path / "interactions"
    for number in range(8):
        write_episode(f"e{number}", "PPPPPHHH", directory=folder)
    return folder


@pytest.fixture
def checkpoint(tiny_model, tmp_path: Path) -> Path:
    """The tiny policy as a checkpoint folder."""
    from apo_vla.loading import save_checkpoint

    save_checkpoint(tmp_path / "checkpoint", *tiny_model, facts={})
    return tmp_path / "checkpoint"


@pytest.fixture
def arguments(checkpoint, interactions, tmp_path):
    """Arguments of the training program for a short run that the gate lets pass, with any parameter changed.

    The run, its parameter file and the adapter store are in `folder`, and the first two have the name of the run.
    """
    parameters = {
        "checkpoint_dir": str(checkpoint),
        "episode_dir": str(interactions),
        "expert_dir": str(tmp_path / "expert"),
        "steps": 10,
        "batch_size": 8,
        "learning_rate": 0.01,
        "warmup_steps": 0,
        "undesirable_steps": 3,
        "method": "apo",
        "prefix_noise": 0.0,
        "prefix_jitter": 0.0,
        "action_tolerance": 0.0,
        "lora_rank": 8,
        "lora_alpha": 16.0,
        "gate_l1_tolerance": 100.0,
        "gate_rise_nats": -1000.0,
        "gate_fall_nats": -1000.0,
        "gate_min_samples": 0,
        "niceness": 0,
        "threads": 1,
        "progress_s": 0.0,
    }

    def make(run: str = "run", parent: int = 0, folder: Path = tmp_path, **changes) -> list[str]:
        values = {**parameters, "adapter_dir": str(folder / "adapters"), **changes}
        path = folder / f"{run}.yaml"
        path.write_text(yaml.safe_dump({"trainer": {"ros__parameters": values}}))
        return ["--config", str(path), "--run-dir", str(folder / run), "--parent", str(parent), "--run-id", run]

    return make


@pytest.fixture
def parameter():
    """Two values that an optimizer may set."""
    import torch

    return torch.nn.Parameter(torch.tensor([1.0, -2.0]))


@pytest.fixture
def trainer_of(tiny_model, interactions, contract):
    """Makes trainers of the tiny policy on `interactions`, all with the same initial weights."""
    import copy

    from apo_trainer.config import TrainingConfig
    from apo_trainer.data.dataset import load_training_data
    from apo_trainer.optimisation.trainer import Trainer
    from apo_vla.policy import VlaPolicy

    def make(resources=None, **changes):
        defaults = {"steps": 8, "batch_size": 8, "learning_rate": 0.01, "warmup_steps": 0, "undesirable_steps": 3}
        settings = TrainingConfig(**{**defaults, "method": "apo", "lora_rank": 8, "lora_alpha": 16.0, **changes})
        model, tokenizer, statistics = tiny_model
        policy = VlaPolicy(copy.deepcopy(model), tokenizer, statistics, "base", "statistics")
        paths = sorted(interactions.glob("*.h5"))
        data = load_training_data(paths, settings.label_rule, policy.chunk, settings.held_out_share, contract.sha256)
        return Trainer(policy, data, settings, resources=resources)

    return make
