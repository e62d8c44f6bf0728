"""What a policy knows of its trouble at each new chunk; one code for serving and for recordings. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apo_core.actions import GRIPPER, LINEAR
from apo_core.contract.specs import ActionSpec
from apo_core.types import ActionChunk

FEATURES = (
    "entropy",  # nats: mean over the rows that are executed
    "entropy_mean",  # nats: mean of it over the window
    "surprise",  # nats: minus the mean log-probability of these rows
    "disagreement",  # 0..2: mean difference from the chunk before on common rows, actions scaled to -1..1
    "disagreement_mean",  # mean of it over the window
    "speed",  # m/s: straight way of the end effector over the window
    "commanded_speed",  # m/s: length of the way that the chunks commanded over the window
    "detour_speed",  # m/s: length of the way taken beyond the straight one
    "dwell_s",  # s for which the end effector has stayed within DWELL_M of where it is
    "gripper_changes",  # times that the gripper was commanded to the other side
)
FEATURES_VERSION = 1  # rises when a feature changes its meaning
WINDOW_S = 1.5
DWELL_M = 0.03
_POSE = "ee_pose"
_UNKNOWN = float("nan")


@dataclass(frozen=True, slots=True)
class _Moment:
    """A chunk, and what its execution began with."""

    chunk: ActionChunk
    position: np.ndarray | None  # float64 (3,), m
    entropy: float
    disagreement: float


class HelpFeatures:
    """Computes the features of each new chunk while a policy drives. Not thread-safe.

    Args:
        action: of the contract.
        rows: of a chunk that are executed before the next one.
    """

    def __init__(self, action: ActionSpec, rows: int):
        low, high = np.array(action.low, np.float64), np.array(action.high, np.float64)
        self._half, self._rows = (high - low) / 2, rows
        self.restart()

    def restart(self) -> None:
        """Drops what was before: another trial, or the policy did not drive."""
        self._window: list[_Moment] = []
        self._trail: list[tuple[int, np.ndarray]] = []  # stamp and position of each chunk
        self._side, self._changes = 0.0, 0

    def add(self, chunk: ActionChunk, state: Mapping[str, np.ndarray], continued: bool) -> np.ndarray:
        """The features of a new chunk: float64 (F,) in the order of FEATURES; NaN: unknown.

        Args:
            chunk: as predicted, before chunks are combined.
            state: of its observation; without `ee_pose` the motion is unknown.
            continued: the policy drove since the chunk before; otherwise this one is the first.
        """
        if not continued:
            self.restart()
        self._count_grips(chunk)
        rows = slice(0, self._rows)
        entropy = _UNKNOWN if chunk.entropies is None else float(np.mean(chunk.entropies[rows]))
        position = np.asarray(state[_POSE][LINEAR], np.float64) if _POSE in state else None
        disagreement = self._disagreement(chunk)
        now_ns = chunk.observation_stamp_ns
        oldest_ns = now_ns - round(WINDOW_S * 1e9)
        self._window = [each for each in self._window if each.chunk.observation_stamp_ns >= oldest_ns]
        self._window.append(_Moment(chunk, position, entropy, disagreement))
        return np.array(
            [
                entropy,
                float(np.mean([each.entropy for each in self._window])),
                -float(np.mean(chunk.log_probs[rows])),
                disagreement,
                float(np.mean([each.disagreement for each in self._window])),
                *self._motion(),
                self._dwell_s(now_ns, position),
                float(self._changes),
            ],
            np.float64,
        )

    def _disagreement(self, chunk: ActionChunk) -> float:
        """0 for the first chunk; where no moment is common, the last row of the one before against the first."""
        if not self._window:
            return 0.0
        before = self._window[-1].chunk
        offset = _rows_between(before, chunk)
        common = min(len(before.values) - offset, len(chunk.values))
        if common > 0:
            difference = chunk.values[:common] - before.values[offset : offset + common]
        else:
            difference = chunk.values[:1] - before.values[-1:]
        return float(np.mean(np.abs(difference.astype(np.float64) / self._half)))

    def _motion(self) -> tuple[float, float, float]:
        """speed, commanded_speed, detour_speed; a first chunk counts as if it were followed straight."""
        pairs = list(itertools.pairwise(self._window))
        if not pairs:
            speed = float(_speeds(self._window[0].chunk)[: self._rows].mean())
            return (speed if self._window[0].position is not None else _UNKNOWN), speed, 0.0
        first, last = self._window[0], self._window[-1]
        seconds = (last.chunk.observation_stamp_ns - first.chunk.observation_stamp_ns) / 1e9
        commanded = 0.0
        for before, after in pairs:
            executed = _speeds(before.chunk)[: _rows_between(before.chunk, after.chunk)]
            commanded += float(executed.sum()) * before.chunk.period_ns / 1e9
        places = [each.position for each in self._window if each.position is not None]
        if len(places) < len(self._window):
            return _UNKNOWN, commanded / seconds, _UNKNOWN
        straight = float(np.linalg.norm(places[-1] - places[0]))
        length = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
        return straight / seconds, commanded / seconds, (length - straight) / seconds

    def _dwell_s(self, now_ns: int, position: np.ndarray | None) -> float:
        if position is None:
            return _UNKNOWN
        self._trail.append((now_ns, position))
        since_ns = now_ns
        for stamp_ns, place in reversed(self._trail):
            if np.linalg.norm(position - place) > DWELL_M:
                break
            since_ns = stamp_ns
        return (now_ns - since_ns) / 1e9

    def _count_grips(self, chunk: ActionChunk) -> None:
        for value in chunk.values[: self._rows, GRIPPER]:
            side = float(np.sign(value))
            if side and side != self._side:
                self._changes += bool(self._side)
                self._side = side


def _rows_between(before: ActionChunk, after: ActionChunk) -> int:
    return max(1, round((after.observation_stamp_ns - before.observation_stamp_ns) / before.period_ns))


def _speeds(chunk: ActionChunk) -> np.ndarray:
    """m/s of each row: float64 (n,)."""
    speeds: np.ndarray = np.linalg.norm(chunk.values[:, LINEAR].astype(np.float64), axis=1)
    return speeds
