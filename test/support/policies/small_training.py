"""Fixtures of trainings in seconds: small episode files with chosen sources, and a policy of 10,000 weights."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from small_contract import contract_data

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Observation, Outcome, Step
from apo_episodes.writer import EpisodeWriter

SOURCES = {"P": ControlSource.POLICY, "H": ControlSource.HUMAN, "-": ControlSource.HOLD}


def training_contract(rate_hz: float = 20.0) -> Contract:
    """One 8 x 8 camera, a pose, seven actions in -1..1."""
    action = {"names": ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"], "units": ["m/s"] * 3 + ["rad/s"] * 3 + ["1"]}
    data = contract_data(
        rate_hz=rate_hz,
        tolerance_s=0.025,
        images={"front": {"topic": "front/image_raw", "height": 8, "width": 8, "encoding": "rgb8"}},
        state={"ee_pose": {"topic": "ee_pose", "type": "std_msgs/msg/Float64MultiArray", "size": 7, "unit": "m"}},
        action={**action, "low": [-1.0] * 7, "high": [1.0] * 7},
    )
    return contract_from_dict(data, "test")


@pytest.fixture
def contract() -> Contract:
    return training_contract()


@pytest.fixture
def contract_of_rate():
    """Makes the same contract for another control rate [Hz]."""
    return training_contract


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
        contract = contract or training_contract()
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
    statistics = plain_statistics(training_contract(), state_mean=5.0, state_std=3.0)
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
    from apo_vla.families.small_vla.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "checkpoint", *tiny_model, facts={})
    return tmp_path / "checkpoint"
