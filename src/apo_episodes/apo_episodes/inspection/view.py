"""Pictures of an episode: contact sheet and video, with who drove and the label marked on every frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from apo_core.errors import EpisodeToolError
from apo_core.types import ControlSource, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.files import frame_blocks
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_frames

# RGB
COLOURS = {
    ControlSource.POLICY: (46, 125, 200),
    ControlSource.HUMAN: (232, 119, 34),
    ControlSource.HOLD: (120, 120, 120),
}
_UNDESIRABLE = (200, 40, 40)
_SIDE = 168  # pixels, height of a frame in the picture
_BORDER = 6
_WHITE_DEPTH = 4000  # 16UC1 value (mm by REP 118) that is drawn white


def draw_step(
    views: Mapping[str, np.ndarray], index: int, source: ControlSource, label: StepLabel, is_takeover: bool = False
) -> np.ndarray:
    """One frame: the cameras side by side, a border in the colour of the source, step, source and label as text.

    Args:
        views: {camera: (H, W, 3) rgb or (H, W, 1) grey or depth} of the step, at least one.
        index: of the step.
        source: who decided the action.
        label: under the rule in use; an undesirable step has a border of its own colour.
        is_takeover: the operator takes control here.

    Returns:
        uint8 (H, W, 3) rgb.
    """
    import cv2

    frame = np.concatenate([_scaled(image) for image in views.values()], axis=1)
    colour = _UNDESIRABLE if label == StepLabel.UNDESIRABLE else COLOURS[source]
    frame = cv2.copyMakeBorder(frame, 28, _BORDER, _BORDER, _BORDER, cv2.BORDER_CONSTANT, value=colour)
    text = f"{index:>3} {source}{' TAKEOVER' if is_takeover else ''}  {label.lower()}"
    cv2.putText(frame, text, (_BORDER, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return frame


def as_rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of a colour, grey or depth image; depth of 4000 and more is white."""
    if image.dtype == np.uint16:
        image = (np.minimum(image, _WHITE_DEPTH).astype(np.uint32) * 255 // _WHITE_DEPTH).astype(np.uint8)
    return image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1)


def _scaled(image: np.ndarray) -> np.ndarray:
    import cv2

    height, width = image.shape[:2]
    size = (max(1, round(width * _SIDE / height)), _SIDE)
    interpolation = cv2.INTER_AREA if height > _SIDE else cv2.INTER_CUBIC
    return cv2.resize(as_rgb(image), size, interpolation=interpolation)


def contact_sheet(episode: Episode, rule: LabelRule, columns: int = 4, rows: int = 4) -> np.ndarray:
    """A grid of frames over the episode; the first takeover and the step before it are always among them.

    Returns:
        uint8 (H, W, 3) rgb.

    Raises:
        EpisodeToolError: no step, or no camera.
    """
    _check(episode)
    count = min(columns * rows, episode.num_steps)
    chosen = set(np.linspace(0, episode.num_steps - 1, count).round().astype(int).tolist())
    for takeover in episode.takeovers[:1]:
        for wanted in (takeover, max(takeover - 1, 0)):
            nearest = min(chosen - {takeover, takeover - 1} or chosen, key=lambda i: abs(i - wanted))
            if wanted not in chosen:
                chosen.discard(nearest)
                chosen.add(wanted)
    labels, steps = episode.labels(rule), sorted(chosen)
    shown = read_frames(episode.path, steps)
    frames = [_draw(episode, labels, index, row, shown) for row, index in enumerate(steps)]
    columns = min(columns, len(frames))
    blank = np.full_like(frames[0], 255)
    frames += [blank] * (-len(frames) % columns)
    lines = [np.concatenate(frames[i : i + columns], axis=1) for i in range(0, len(frames), columns)]
    return np.concatenate(lines, axis=0)


def _draw(
    episode: Episode, labels: list[StepLabel], index: int, row: int, frames: Mapping[str, np.ndarray]
) -> np.ndarray:
    views = {name: values[row] for name, values in frames.items()}
    return draw_step(views, index, episode.sources[index], labels[index], index in episode.takeovers)


def _check(episode: Episode) -> None:
    if not episode.num_steps or not episode.contract.images:
        missing = "camera" if episode.num_steps else "step"
        raise EpisodeToolError(f"{episode.path}: has no {missing} to show")


def write_contact_sheet(episode: Episode, rule: LabelRule, path: Path, columns: int = 4, rows: int = 4) -> None:
    """Writes the contact sheet as PNG.

    Raises:
        EpisodeToolError: no step, or no camera.
        OSError: the file cannot be written.
    """
    import cv2

    if not cv2.imwrite(str(path), contact_sheet(episode, rule, columns, rows)[:, :, ::-1]):
        raise OSError(f"cannot write {path}")


def write_video(episode: Episode, rule: LabelRule, path: Path) -> None:
    """Writes every step as an MP4 at the control rate.

    Raises:
        EpisodeToolError: no step, or no camera.
        OSError: the file cannot be written.
    """
    import cv2

    _check(episode)
    labels = episode.labels(rule)
    writer = None
    try:
        for start, frames in frame_blocks(episode):
            for row in range(len(next(iter(frames.values())))):
                frame = _draw(episode, labels, start + row, row, frames)
                if writer is None:
                    # MPEG-4 takes even sides only
                    size = (frame.shape[1] // 2 * 2, frame.shape[0] // 2 * 2)
                    codec = cv2.VideoWriter.fourcc(*"mp4v")
                    writer = cv2.VideoWriter(str(path), codec, episode.contract.rate_hz, size)
                    if not writer.isOpened():
                        raise OSError(f"cannot write {path}")
                writer.write(np.ascontiguousarray(frame[: size[1], : size[0], ::-1]))
    finally:
        if writer is not None:
            writer.release()
