"""Frames that arrive late or never, and commands that are executed late. Pure; time is passed in, as control steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from apo_sim_bridge.perturbation.draws import Stream
from apo_sim_bridge.perturbation.settings import StreamPerturbation

T = TypeVar("T")


@dataclass(slots=True)
class _Sent(Generic[T]):
    """A frame on its way."""

    frame: T
    due: dict[str, float]  # camera -> step at which its image arrives; infinite: never, or it has arrived


class FrameLink(Generic[T]):
    """The way of one trial's frames from the cameras to their receiver.

    A frame is whatever one control step sensed; it has an image of each camera. The images of a camera arrive in the
    order in which they were taken.

    Args:
        streams: delays and losses.
        cameras: names of the images.
        seed: of the trial; the same seed gives the same delays and losses.
    """

    def __init__(self, streams: StreamPerturbation, cameras: Sequence[str], seed: int):
        self._streams, self._cameras = streams, tuple(cameras)
        self._rng = Stream.FRAMES.of(seed)
        self._burst = dict.fromkeys(self._cameras, 0)  # frames of the camera that are still to be lost
        self._last_due = dict.fromkeys(self._cameras, 0)
        self._sent: deque[_Sent[T]] = deque()

    def send(self, frame: T, step: int) -> None:
        """The cameras take a frame at `step`; once for each step, in order."""
        self._sent.append(_Sent(frame, {camera: self._draw(camera, step) for camera in self._cameras}))

    def arrived(self, step: int) -> list[tuple[T, tuple[str, ...]]]:
        """Frames of which images have arrived by `step`, the oldest first, with their cameras; each image once."""
        found = []
        for sent in self._sent:
            cameras = tuple(name for name, due in sent.due.items() if due <= step)
            if cameras:
                found.append((sent.frame, cameras))
            for name in cameras:
                sent.due[name] = math.inf
        self._sent = deque(sent for sent in self._sent if min(sent.due.values(), default=math.inf) < math.inf)
        return found

    def newest_whole(self, step: int) -> T | None:
        """The newest frame of which every image has arrived by `step`; None without one newer than the last."""
        self._sent = deque(sent for sent in self._sent if math.inf not in sent.due.values())
        whole = [index for index, sent in enumerate(self._sent) if max(sent.due.values(), default=0) <= step]
        if not whole:
            return None
        frame = self._sent[whole[-1]].frame
        for _ in range(whole[-1] + 1):
            self._sent.popleft()
        return frame

    def _draw(self, camera: str, step: int) -> float:
        """When the next image of a camera arrives; both draws are made whatever comes of them."""
        streams, rng = self._streams, self._rng
        delay = int(rng.integers(*_closed(streams.observation_delay_steps)))
        starts = rng.random() < streams.frame_drop_probability
        length = rng.integers(*_closed(streams.frame_drop_burst))
        if not self._burst[camera] and starts:
            self._burst[camera] = int(length)
        if self._burst[camera]:
            self._burst[camera] -= 1
            return math.inf
        self._last_due[camera] = max(self._last_due[camera], step + delay)
        return self._last_due[camera]


class CommandLink(Generic[T]):
    """The way of one trial's commands to the robot, which executes the newest that has arrived.

    Args:
        streams: delays.
        seed: of the trial.
        first: what it executes before the first command arrives.
    """

    def __init__(self, streams: StreamPerturbation, seed: int, first: T):
        self._delays = streams.action_delay_steps
        self._rng = Stream.COMMANDS.of(seed)
        self._executed = first
        self._sent: deque[tuple[int, T]] = deque()  # step of arrival, command
        self._last_due = 0

    def through(self, command: T, step: int) -> T:
        """Sends the command of `step`; returns what is executed in it."""
        self._last_due = max(self._last_due, step + int(self._rng.integers(*_closed(self._delays))))
        self._sent.append((self._last_due, command))
        while self._sent and self._sent[0][0] <= step:
            _, self._executed = self._sent.popleft()
        return self._executed


def _closed(bounds: tuple[int, int]) -> tuple[int, int]:
    """Arguments of Generator.integers that include both ends."""
    return bounds[0], bounds[1] + 1


def arrival_ages(streams: StreamPerturbation, cameras: Sequence[str], steps: int, seed: int) -> np.ndarray:
    """Age of the newest whole frame at each step, in steps, int64 (steps,); -1 before the first one arrives."""
    link: FrameLink[int] = FrameLink(streams, cameras, seed)
    ages, newest = np.full(steps, -1, np.int64), -1
    for step in range(steps):
        link.send(step, step)
        arrived = link.newest_whole(step)
        newest = newest if arrived is None else arrived
        if newest >= 0:
            ages[step] = step - newest
    return ages
