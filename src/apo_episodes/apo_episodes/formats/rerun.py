"""An episode as a recording for the rerun viewer. Needs rerun-sdk (requirements/view.in)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from apo_episodes.episode import Episode
from apo_episodes.files import extra_module, frame_blocks
from apo_episodes.inspection.view import COLOURS
from apo_episodes.labeling import LabelRule

APPLICATION = "apo"


def write_rerun(episode: Episode, rule: LabelRule, path: Path) -> None:
    """Writes cameras, state, actions, tokens, progress, source and label of every step on the time lines step and time.

    Raises:
        EpisodeToolError: rerun-sdk is missing.
        OSError: the file cannot be written.
    """
    rr = extra_module("rerun", "rerun-sdk", "view")
    recording = rr.new_recording(application_id=APPLICATION, recording_id=episode.info.episode_id)
    rr.save(str(path), recording=recording)
    try:
        _log(rr, recording, episode, rule)
    finally:
        rr.disconnect(recording=recording)


def _log(rr: Any, recording: Any, episode: Episode, rule: LabelRule) -> None:
    labels = episode.labels(rule)
    stamps = episode.stamps_ns["observation"]
    names = episode.contract.action.names
    actions = {"executed": episode.executed_actions, "policy": episode.policy_actions, "human": episode.human_actions}
    for start, frames in frame_blocks(episode):
        for index in range(start, start + len(next(iter(frames.values()))) if frames else episode.num_steps):
            rr.set_time_sequence("step", index, recording=recording)
            rr.set_time_nanos("time", int(stamps[index]), recording=recording)
            for name, values in frames.items():
                frame = values[index - start]
                image = rr.Image(frame) if frame.shape[-1] == 3 else _grey(rr, frame[:, :, 0])
                rr.log(f"cameras/{name}", image, recording=recording)
            for name, values in actions.items():
                if not np.isnan(values[index]).any():
                    for part, value in zip(names, values[index], strict=True):
                        rr.log(f"action/{part}/{name}", rr.Scalar(float(value)), recording=recording)
            if episode.policy_tokens is not None and episode.policy_tokens[index].min() >= 0:
                for part, token in zip(names, episode.policy_tokens[index].tolist(), strict=True):
                    rr.log(f"action/{part}/policy_token", rr.Scalar(float(token)), recording=recording)
            if episode.task_remaining is not None and np.isfinite(episode.task_remaining[index]):
                rr.log("task/remaining", rr.Scalar(float(episode.task_remaining[index])), recording=recording)
            for key, values in episode.state.items():
                for i, value in enumerate(values[index]):
                    rr.log(f"state/{key}/{i}", rr.Scalar(float(value)), recording=recording)
            source = episode.sources[index]
            text = f"{source} {labels[index].lower()}: {episode.reasons[index]}"
            rr.log("control", rr.TextLog(text, color=COLOURS[source]), recording=recording)


def _grey(rr: Any, frame: np.ndarray) -> Any:
    # 16UC1 is millimetres (REP 118)
    return rr.DepthImage(frame, meter=1000.0) if frame.dtype == np.uint16 else rr.Image(frame, color_model="L")
