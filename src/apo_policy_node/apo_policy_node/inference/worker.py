"""The thread that predicts: newest observation first, jobs between two inferences, commands awaited in lockstep."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from apo_core.types import ControlSource, Observation
from apo_policy_node.inference.runner import Answer, Cause, PolicyRunner
from apo_policy_node.inference.uncertainty import Uncertainty


class InferenceWorker:
    """Runs a PolicyRunner in a thread of its own, so that no callback ever waits for an inference.

    Args:
        runner: used by this thread only.
        publish: receives every answer, in this thread.
        now_ns: ROS time.
        lockstep: before each answer, wait for the command that answered the observation before it, since whether to
            predict anew depends on who drove.
        command_wait_s: longest such wait, steady seconds.
        report: receives a line about an error of `publish` or a job.
    """

    def __init__(
        self,
        runner: PolicyRunner,
        publish: Callable[[Answer], None],
        now_ns: Callable[[], int],
        lockstep: bool,
        command_wait_s: float,
        report: Callable[[str], None],
    ):
        self._runner, self._publish, self._now_ns, self._report = runner, publish, now_ns, report
        self._lockstep, self._command_wait_s = lockstep, command_wait_s
        self._changed = threading.Condition()
        self._newest: Observation | None = None
        self._jobs: list[Callable[[], None]] = []
        self._command: tuple[int, ControlSource] | None = None
        self._stopping = False
        self.skipped = 0  # observations replaced by a newer one before their turn
        self.commands_missed = 0  # waits in lockstep that ended without the command
        self._answers: Counter[str] = Counter()  # by cause
        self._last: Answer | None = None
        self._uncertainty: Uncertainty | None = None  # of the newest chunk
        self._inference_s = float("nan")  # of the newest chunk
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the inference in progress and the jobs given before; observations are dropped."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def observe(self, observation: Observation) -> None:
        """Hands over an observation; it replaces one that still waits."""
        with self._changed:
            self.skipped += self._newest is not None
            self._newest = observation
            self._changed.notify_all()

    def executed(self, observation_stamp_ns: int, source: ControlSource) -> None:
        """Records the command that answered an observation."""
        with self._changed:
            self._command = (observation_stamp_ns, source)
            self._changed.notify_all()

    def between(self, job: Callable[[], None]) -> None:
        """Runs `job` in the thread before the next inference, after earlier jobs."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def clear(self) -> None:
        """Drops what waits, and the chunk in force before the next inference."""
        with self._changed:
            self._newest, self._command, self._uncertainty = None, None, None
        self.between(self._runner.reset)

    @property
    def fault(self) -> str:
        """Why the newest answer had no action; empty if it had one."""
        return self._last.fault if self._last is not None else ""

    @property
    def help_wanted(self) -> bool:
        """Whether the policy requests help from its operator."""
        return self._uncertainty is not None and self._uncertainty.help_wanted

    def summary(self) -> dict[str, str]:
        """Key and value for /diagnostics."""
        return {
            "inference_ms": f"{self._inference_s * 1e3:.1f}",
            "observations_skipped": str(self.skipped),
            "commands_missed": str(self.commands_missed),
            "fault": self.fault,
            "log_prob": "" if self._uncertainty is None else f"{self._uncertainty.log_prob:.3f}",
            "entropy": "" if self._uncertainty is None else f"{self._uncertainty.entropy:.3f}",
            "help_score": "" if self._uncertainty is None else f"{self._uncertainty.score:.3f}",
            "help_wanted": str(self.help_wanted).lower(),
            **{f"answers_{cause}": str(self._answers[cause]) for cause in Cause},
        }

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._jobs or self._newest is not None)
                if self._stopping and not self._jobs:
                    return
                jobs, self._jobs = self._jobs, []
                observation, self._newest = (None, self._newest) if jobs else (self._newest, None)
            for job in jobs:
                self._guarded("job", job)
            if observation is not None:
                self._answer(observation)

    def _answer(self, observation: Observation) -> None:
        answered_ns = self._runner.answered_ns
        with self._changed:
            if self._lockstep and answered_ns is not None:
                came = self._changed.wait_for(
                    lambda: self._stopping or (self._command is not None and self._command[0] >= answered_ns),
                    self._command_wait_s,
                )
                self.commands_missed += not came
            if self._stopping:
                return
            command = self._command
        if command is not None:
            self._runner.executed(command[1])
        answer = self._runner.answer(observation, self._time_of(observation))
        answer = self._runner.checked(answer, self._time_of(observation))
        self._last = answer
        self._answers[answer.cause] += 1
        if answer.inference_s:
            self._inference_s = answer.inference_s
        if answer.uncertainty is not None:
            self._uncertainty = answer.uncertainty
        self._guarded("publish", lambda: self._publish(answer))

    def _time_of(self, observation: Observation) -> int:
        # lockstep: the message of the clock may be behind the observation it belongs to, and time waits for the answer
        return max(self._now_ns(), observation.stamp_ns) if self._lockstep else self._now_ns()

    def _guarded(self, what: str, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:  # the thread must go on answering
            self._report(f"{what} in the inference thread failed: {type(error).__name__}: {error}")
