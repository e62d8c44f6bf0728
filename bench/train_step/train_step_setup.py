"""Episodes, and policies of OpenVLA's and pi0's shape, but small, for the benchmarks of the training step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.types import (
    ControlSource,
    EpisodeInfo,
    EpisodeKind,
    EpisodeOutcome,
    Observation,
    Outcome,
    Step,
)
from apo_episodes.writer import EpisodeWriter
from apo_trainer.config import TrainingConfig
from apo_trainer.data.dataset import TrainingData, load_training_data
from apo_vla.checkpoints.statistics import DatasetStatistics
from apo_vla.families.small_vla.flow import SmallFlow, SmallFlowConfig
from apo_vla.families.small_vla.model import SmallVla, SmallVlaConfig
from apo_vla.inputs.prompt import build_tokenizer
from apo_vla.policy import VlaPolicy

INSTRUCTION = "lift the cube"
SIZE = 256  # pixels a side: 256 image tokens, as OpenVLA has
SOURCES = "PPPPPHHH"  # of every episode: policy, human
EPISODES = 2


def contract() -> Contract:
    """One camera, seven actions."""
    return contract_from_dict(
        {
            "version": 1,
            "rate_hz": 20.0,
            "frame_id": "base",
            "tolerance_s": 0.025,
            "max_age_s": 0.5,
            "images": {"front": {"topic": "front/image_raw", "height": SIZE, "width": SIZE, "encoding": "rgb8"}},
            "state": {"ee_pose": {"topic": "ee_pose", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"}},
            "action": {
                "names": ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"],
                "units": ["m/s"] * 3 + ["rad/s"] * 3 + ["1"],
                "low": [-1.0] * 7,
                "high": [1.0] * 7,
            },
            "limits": {
                "linear_speed": 1.0,
                "angular_speed": 10.0,
                "workspace_low": [-1.0, -1.0, 0.0],
                "workspace_high": [1.0, 1.0, 2.0],
            },
        },
        "bench",
    )


def data(folder: Path, config: TrainingConfig, rows: int = 1) -> TrainingData:
    """Episodes of noise, with takeovers, as training data in chunks of `rows`; nothing is held out."""
    own, rng = contract(), np.random.default_rng(0)
    for number in range(EPISODES):
        info = EpisodeInfo(
            f"e{number}",
            EpisodeKind.INTERACTION,
            "Lift",
            INSTRUCTION,
            number,
            "bench",
            own.json,
            "2025-01-01T00:00:00Z",
        )
        writer = EpisodeWriter(folder, info, own)
        for step, letter in enumerate(SOURCES):
            action = rng.uniform(-0.9, 0.9, 7).astype(np.float32)
            human = letter == "H"
            observation = Observation(
                stamp_ns=1 + step * own.period_ns,
                images={"front": rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)},
                state={"ee_pose": rng.normal(size=7).astype(np.float32)},
                instruction=INSTRUCTION,
            )
            writer.append(
                Step(
                    tick=step,
                    observation=observation,
                    executed_action=action,
                    policy_action=None if human else action,
                    human_action=action if human else None,
                    source=ControlSource.HUMAN if human else ControlSource.POLICY,
                    reason="bench",
                    adapter_version=0,
                    command_stamp_ns=2 + step * own.period_ns,
                    chunk_stamp_ns=0,
                    receive_ns=step,
                )
            )
        writer.finish(EpisodeOutcome(Outcome.SUCCESS, "bench", True, False))
    return load_training_data(sorted(folder.glob("*.h5")), config.label_rule, rows, 0.0, own.sha256)


def policy(vocabulary: int) -> VlaPolicy:
    """Six layers of width 192; tokens: 257 of the observation, 16 of the prompt, 7 of the action. Always the same."""
    shape = _shape(1, vocabulary - 256)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _policy(SmallVla(SmallVlaConfig(**shape)))


def flow_policy(rows: int) -> VlaPolicy:
    """The same observation and prompt, and a flow head with chunks of `rows`; sampled in 10 steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _policy(SmallFlow(SmallFlowConfig(**_shape(rows, 64), flow_steps=10)))


def _shape(rows: int, prompt_vocabulary: int) -> dict[str, Any]:
    return {
        "cameras": ("front",),
        "state_keys": ("ee_pose",),
        "state_size": 7,
        "chunk": rows,
        "image_size": SIZE,
        "prompt_length": 16,
        "prompt_vocabulary": prompt_vocabulary,
        "layers": 6,
    }


def _policy(model: SmallVla | SmallFlow) -> VlaPolicy:
    statistics = DatasetStatistics(
        action_q01=(-1.0,) * 7,
        action_q99=(1.0,) * 7,
        action_mean=(0.0,) * 7,
        action_std=(1.0,) * 7,
        action_mask=(True,) * 6 + (False,),
        state_mean={"ee_pose": (0.0,) * 7},
        state_std={"ee_pose": (1.0,) * 7},
        num_frames=1,
        contract_sha256=contract().sha256,
    )
    return VlaPolicy(model, build_tokenizer([INSTRUCTION]), statistics)
