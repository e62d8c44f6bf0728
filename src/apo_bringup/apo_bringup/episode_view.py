"""Pictures of an episode: contact sheet and video, with who drove marked on every frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from apo_core.episode_file import Episode
from apo_core.labeling import LabelRule
from apo_core.types import ControlSource, StepLabel

# RGB; the same colours in the plots of the report
COLOURS = {
    ControlSource.POLICY: (46, 125, 200),
    ControlSource.HUMAN: (232, 119, 34),
    ControlSource.HOLD: (120, 120, 120),
}
_UNDESIRABLE = (200, 40, 40)
_SIDE = 168  # pixels of a frame in the picture
_BORDER = 6


def draw_step(episode: Episode, index: int, label: StepLabel) -> np.ndarray:
    """One frame: the cameras side by side, a border in the colour of the source, step, source and label as text.

    Returns:
        uint8 (H, W, 3) rgb.
    """
    source = episode.sources[index]
    views = [
        cv2.resize(episode.images[name][index], (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
        for name in episode.images
    ]
    frame = np.concatenate(views, axis=1)
    colour = _UNDESIRABLE if label == StepLabel.UNDESIRABLE else COLOURS[source]
    frame = cv2.copyMakeBorder(frame, 28, _BORDER, _BORDER, _BORDER, cv2.BORDER_CONSTANT, value=colour)
    mark = " TAKEOVER" if index in episode.takeovers else ""
    text = f"{index:>3} {source}{mark}" + ("  undesirable" if label == StepLabel.UNDESIRABLE else "")
    cv2.putText(frame, text, (_BORDER, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return frame


def contact_sheet(episode: Episode, rule: LabelRule, columns: int = 4, rows: int = 4) -> np.ndarray:
    """A grid of frames over the episode; the first takeover and the step before it are always among them.

    Returns:
        uint8 (H, W, 3) rgb.
    """
    count = min(columns * rows, episode.num_steps)
    chosen = set(np.linspace(0, episode.num_steps - 1, count).round().astype(int).tolist())
    for takeover in episode.takeovers[:1]:
        for wanted in (takeover, max(takeover - 1, 0)):
            nearest = min(chosen - {takeover, takeover - 1} or chosen, key=lambda i: abs(i - wanted))
            if wanted not in chosen:
                chosen.discard(nearest)
                chosen.add(wanted)
    labels = episode.labels(rule)
    frames = [draw_step(episode, i, labels[i]) for i in sorted(chosen)]
    columns = min(columns, len(frames))
    blank = np.full_like(frames[0], 255)
    frames += [blank] * (-len(frames) % columns)
    lines = [np.concatenate(frames[i : i + columns], axis=1) for i in range(0, len(frames), columns)]
    return np.concatenate(lines, axis=0)


def write_contact_sheet(episode: Episode, rule: LabelRule, path: Path) -> None:
    """Writes the contact sheet as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    if not cv2.imwrite(str(path), contact_sheet(episode, rule)[:, :, ::-1]):
        raise OSError(f"cannot write {path}")


def write_video(episode: Episode, rule: LabelRule, path: Path) -> None:
    """Writes every step as an MP4 at the control rate.

    Raises:
        OSError: the file cannot be written.
    """
    labels = episode.labels(rule)
    height, width, _ = draw_step(episode, 0, labels[0]).shape
    size = (width // 2 * 2, height // 2 * 2)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), episode.contract.rate_hz, size)
    if not writer.isOpened():
        raise OSError(f"cannot write {path}")
    try:
        for index in range(episode.num_steps):
            writer.write(cv2.resize(draw_step(episode, index, labels[index]), size)[:, :, ::-1])
    finally:
        writer.release()
