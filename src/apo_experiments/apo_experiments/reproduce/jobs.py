"""The jobs of a reproduction, what they will take, and the time that is left. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# seconds on two cores without a GPU, small VLA, two simulations at a time
COLLECT_S, EVALUATE_S, DEMONSTRATE_S = 0.05, 0.02, 0.03  # a step of an episode
TRAIN_S = 0.5  # an optimizer step
STEP_BYTES = 19_000  # in an episode file: two images of 84 x 84, compressed
_TYPICAL_LENGTH = 0.6  # of an episode, as a share of its horizon
_COMPARABLE_S = 5.0  # a shorter job was kept from before, or is too short to compare with its estimate


@dataclass(frozen=True, slots=True)
class Job:
    """A part of the work that is done once: where its results are there already, it returns at once."""

    name: str  # part/task/what
    run: Callable[[], None]
    horizon: int = 0  # steps of an episode
    recorded: int = 0  # episodes of the policy with its operator
    demonstrated: int = 0  # demonstrations
    evaluated: int = 0  # evaluation episodes
    train_steps: int = 0  # optimizer steps of all its trainings

    @property
    def seconds(self) -> float:
        """Estimate."""
        steps = self.horizon * _TYPICAL_LENGTH
        simulated = self.recorded * COLLECT_S + self.demonstrated * DEMONSTRATE_S + self.evaluated * EVALUATE_S
        return steps * simulated + self.train_steps * TRAIN_S

    @property
    def size(self) -> float:
        """Bytes of the episode files, estimated."""
        return (self.recorded + self.demonstrated) * self.horizon * _TYPICAL_LENGTH * STEP_BYTES


def plan_text(jobs: Sequence[Job]) -> str:
    """What is going to be done, for people: a line for each part and task, and the sums."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.name.rpartition("/")[0], []).append(job)
    lines = [_plan_line(name, group) for name, group in groups.items()]
    return "\n".join([*lines, _plan_line("in all", jobs)])


def _plan_line(name: str, jobs: Sequence[Job]) -> str:
    def count(field: str) -> int:
        return sum(getattr(job, field) for job in jobs)

    hours, megabytes = sum(job.seconds for job in jobs) / 3600, sum(job.size for job in jobs) / 1e6
    return (
        f"{name}: {count('recorded')} episodes with the operator, {count('demonstrated')} demonstrations, "
        f"{count('evaluated')} evaluation episodes, {count('train_steps')} training steps; "
        f"about {hours:.1f} h, {megabytes:.0f} MB"
    )


class Progress:
    """Time left, from estimates that the jobs done so far correct.

    Args:
        jobs: all of them.
    """

    def __init__(self, jobs: Sequence[Job]):
        self._left = sum(job.seconds for job in jobs)
        self._estimated = self._taken = 0.0

    def done(self, job: Job, seconds: float) -> None:
        """A job has taken so long."""
        self._left -= job.seconds
        if seconds >= _COMPARABLE_S:
            self._estimated += job.seconds
            self._taken += seconds

    @property
    def left_s(self) -> float:
        """Seconds until all are done."""
        return max(self._left, 0.0) * (self._taken / self._estimated if self._estimated else 1.0)


def run_jobs(jobs: Sequence[Job], note: Callable[[str], None], clock: Callable[[], float]) -> None:
    """Runs the jobs in order and reports after each.

    Args:
        jobs: in order.
        note: takes a line.
        clock: seconds, monotonic.
    """
    progress = Progress(jobs)
    for number, job in enumerate(jobs, start=1):
        note(f"[{number}/{len(jobs)}] {job.name}")
        began = clock()
        job.run()
        progress.done(job, clock() - began)
        note(f"[{number}/{len(jobs)}] {job.name}: {clock() - began:.0f} s; about {progress.left_s / 60:.0f} min left")
