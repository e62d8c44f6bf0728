"""Which tick of a trial its receivers see next, where frames come late or get lost. Pure; time is passed in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apo_sim_bridge.perturbation.settings import StreamPerturbation
from apo_sim_bridge.perturbation.streams import FrameLink
from apo_sim_bridge.sim.env import SimFrame
from apo_sim_bridge.trial import Trial


@dataclass(frozen=True, slots=True)
class Tick:
    """One instant of a trial."""

    frame: SimFrame
    trial: Trial  # as it was then
    remaining_m: float  # path left to success; NaN: unknown
    stages: Mapping[str, bool]  # of the task, in order, and whether each is reached


class LateTicks:
    """The ticks of one trial after another, on their way to their receivers.

    Args:
        streams: delays and losses.
        cameras: names of the images.
    """

    def __init__(self, streams: StreamPerturbation, cameras: Sequence[str]):
        self._streams, self._cameras = streams, tuple(cameras)
        self._link: FrameLink[Tick] | None = None
        self._trial = -1

    def sense(self, frame: SimFrame, trial: Trial, remaining_m: float, stages: Mapping[str, bool]) -> Tick:
        """The tick at hand; the images of a running trial go on their way."""
        if not self._streams.holds_frames_back:
            return Tick(frame, trial, remaining_m, stages)
        tick = Tick(frame, copy.copy(trial), remaining_m, stages)
        if trial.number != self._trial or self._link is None:
            self._link, self._trial = FrameLink(self._streams, self._cameras, trial.seed), trial.number
        if trial.running:
            self._link.send(tick, trial.step)
        return tick

    def whole(self, now: Tick) -> Tick | None:
        """Lockstep: the tick to publish; None: none has arrived, the robot goes on without an answer.

        The end of a trial comes at once.
        """
        if self._link is None or not now.trial.running:
            return now
        return self._link.newest_whole(now.trial.step)

    def images(self, now: Tick) -> list[tuple[Tick, tuple[str, ...]]] | None:
        """Real time: the ticks of which images arrive now, with their cameras; None: those of `now`, undelayed."""
        if self._link is None or not now.trial.running:
            return None
        return self._link.arrived(now.trial.step)
