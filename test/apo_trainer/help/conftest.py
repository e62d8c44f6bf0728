"""Episodes that a policy drove, with what it predicted at the time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Observation, Outcome, Step
from apo_episodes.writer import EpisodeWriter

SOURCES = {"P": ControlSource.POLICY, "H": ControlSource.HUMAN, "-": ControlSource.HOLD}


@pytest.fixture
def record(contract, tmp_path) -> Callable[..., Path]:
    """(policy, id, sources as letters) -> path of an episode: two rows of a chunk, a new one after another driver.

    The camera shows `level` + step, the hand is at x = 0.01 m * step.
    """

    def make(
        policy,
        episode_id: str,
        sources: str,
        outcome: Outcome = Outcome.SUCCESS,
        level: int = 0,
        version: int = 0,
        kind: EpisodeKind = EpisodeKind.INTERACTION,
        folder: Path = tmp_path / "episodes",
    ) -> Path:
        info = EpisodeInfo(episode_id, kind, "Lift", "lift the cube", 1, "test", contract.json, "2026-01-01", {})
        writer, chunk = EpisodeWriter(folder, info, contract), None
        for step, letter in enumerate(sources):
            pose = np.array([0.01 * step, 0, 0.9, 0, 0, 0, 1], np.float32)
            image = np.full((8, 8, 3), level + step, np.uint8)
            stamp_ns = (1 + step) * contract.period_ns
            observation = Observation(stamp_ns, {"front": image}, {"ee_pose": pose}, "lift the cube")
            if chunk is None or stamp_ns - chunk.observation_stamp_ns >= 2 * contract.period_ns or letter != "P":
                chunk = policy.predict(observation)
            row = round((stamp_ns - chunk.observation_stamp_ns) / contract.period_ns)
            action = chunk.values[row]
            writer.append(
                Step(
                    tick=step + 1,
                    observation=observation,
                    executed_action=action,
                    policy_action=action,
                    human_action=action if letter == "H" else None,
                    source=SOURCES[letter],
                    reason="test",
                    adapter_version=version,
                    command_stamp_ns=stamp_ns,
                    chunk_stamp_ns=chunk.observation_stamp_ns,
                    receive_ns=step,
                )
            )
            if letter != "P":
                chunk = None
        return writer.finish(EpisodeOutcome(outcome, "test", True, False))

    return make
