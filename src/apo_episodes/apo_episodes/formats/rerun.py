"""An episode, or a running robot, as a recording for the rerun viewer. Needs rerun-sdk (requirements/view.in)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.types import ControlSource
from apo_episodes.episode import Episode
from apo_episodes.files import extra_module, frame_blocks
from apo_episodes.inspection.view import COLOURS
from apo_episodes.labeling import LabelRule

APPLICATION = "apo"


def rerun_module() -> Any:
    """The module. Raises EpisodeToolError: it is missing."""
    return extra_module("rerun", "rerun-sdk", "view")


class RerunLog:
    """The entities of a recording, the same for episodes and for a running robot.

    Args:
        rr: the module.
        recording: that gets them.
        jpeg_quality: of colour pictures, 1..100; 0 keeps them as they are.
    """

    def __init__(self, rr: Any, recording: Any, jpeg_quality: int = 0):
        self._rr, self._recording, self._jpeg_quality = rr, recording, jpeg_quality

    def at(self, stamp_ns: int, **sequences: int) -> None:
        """Sets the stamp and the counts of what is logged next."""
        for name, value in sequences.items():
            self._rr.set_time_sequence(name, value, recording=self._recording)
        self._rr.set_time_nanos("time", stamp_ns, recording=self._recording)

    def picture(self, camera: str, frame: np.ndarray) -> None:
        """`cameras/<name>` of a frame (H, W, C)."""
        rr = self._rr
        if frame.shape[-1] == 3:
            image = rr.Image(frame)
            if self._jpeg_quality:
                image = image.compress(jpeg_quality=self._jpeg_quality)
        elif frame.dtype == np.uint16:
            image = rr.DepthImage(frame[:, :, 0], meter=1000.0)  # 16UC1 is millimetres (REP 118)
        else:
            image = rr.Image(frame[:, :, 0], color_model="L")
        rr.log(f"cameras/{camera}", image, recording=self._recording)

    def action(self, names: Sequence[str], who: str, values: np.ndarray) -> None:
        """`action/<name>/<who>` of an action (A,); nothing where it is unknown (NaN)."""
        if not np.isnan(values).any():
            for name, value in zip(names, values.tolist(), strict=True):
                self.figure(f"action/{name}/{who}", value)

    def state(self, key: str, values: np.ndarray) -> None:
        """`state/<key>/<i>` of a state (n,)."""
        for i, value in enumerate(values.tolist()):
            self.figure(f"state/{key}/{i}", value)

    def figure(self, entity: str, value: float) -> None:
        """A number over time."""
        self._rr.log(entity, self._rr.Scalar(float(value)), recording=self._recording)

    def text(self, entity: str, text: str, source: str = "") -> None:
        """A line of text, in the colour of the ControlSource `source`."""
        colour = {"color": COLOURS[ControlSource(source)]} if source in tuple(ControlSource) else {}
        self._rr.log(entity, self._rr.TextLog(text, **colour), recording=self._recording)


def write_rerun(episode: Episode, rule: LabelRule, path: Path) -> None:
    """Writes cameras, state, actions, tokens, progress, source and label of every step on the time lines step and time.

    Raises:
        EpisodeToolError: rerun-sdk is missing.
        OSError: the file cannot be written.
    """
    rr = rerun_module()
    recording = rr.new_recording(application_id=APPLICATION, recording_id=episode.info.episode_id)
    rr.save(str(path), recording=recording)
    try:
        _log(RerunLog(rr, recording), episode, rule)
    finally:
        rr.disconnect(recording=recording)


def _log(log: RerunLog, episode: Episode, rule: LabelRule) -> None:
    labels = episode.labels(rule)
    stamps = episode.stamps_ns["observation"]
    names = episode.contract.action.names
    actions = {"executed": episode.executed_actions, "policy": episode.policy_actions, "human": episode.human_actions}
    for start, frames in frame_blocks(episode):
        for index in range(start, start + len(next(iter(frames.values()))) if frames else episode.num_steps):
            log.at(int(stamps[index]), step=index)
            for name, values in frames.items():
                log.picture(name, values[index - start])
            for who, values in actions.items():
                log.action(names, who, values[index])
            if episode.policy_tokens is not None and episode.policy_tokens[index].min() >= 0:
                log.action(names, "policy_token", episode.policy_tokens[index])
            if episode.task_remaining is not None and np.isfinite(episode.task_remaining[index]):
                log.figure("task/remaining", episode.task_remaining[index])
            for key, values in episode.state.items():
                log.state(key, values[index])
            source = episode.sources[index]
            log.text("control", f"{source} {labels[index].lower()}: {episode.reasons[index]}", source)
