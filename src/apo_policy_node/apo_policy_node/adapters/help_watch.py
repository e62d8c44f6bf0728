"""The thread that reads the calibration of the adapter that serves, and finds a new one while it does.

No ROS. The thread that predicts asks for a score and never waits for a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from apo_core.adapters.calibration import HelpCalibration, PolicyIdentity, calibration_path
from apo_core.adapters.calibration_file import COMMAND, read_calibration
from apo_core.adapters.manifest import policy_name
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.help.score import HelpScore


class HelpWatch:
    """Follows the adapter that serves.

    Args:
        store: of the adapters and their calibrations; with trusted keys, one that none has signed does not count.
        serving: the adapter that serves.
        identity_of: what an adapter is, by content; raises AdapterError.
        replan_steps, action_horizon: as the node executes; a calibration of others does not count.
        poll_s: seconds between two looks.
        report: receives a line when the adapter that serves turns out to have no calibration.
    """

    def __init__(
        self,
        store: AdapterStore,
        serving: Callable[[], int],
        identity_of: Callable[[int], PolicyIdentity],
        replan_steps: int,
        action_horizon: int,
        poll_s: float,
        report: Callable[[str], None],
    ):
        self._store, self._serving, self._identity_of = store, serving, identity_of
        self._replan_steps, self._action_horizon = replan_steps, action_horizon
        self._poll_s, self._report = poll_s, report
        self._known: tuple[int, HelpScore | None] = (-1, None)  # adapter, its score; replaced as one
        self._seen: tuple[object, ...] = ()  # adapter and its file, as they were last read
        self._warning = ""
        self._woken, self._stopping = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="help", daemon=True)

    @property
    def warning(self) -> str:
        """Why the adapter that serves has no score, and what to run; empty if it has one."""
        return self._warning

    def score_of(self, version: int) -> HelpScore | None:
        """The score of an adapter; None without one, or before it was read."""
        known, score = self._known
        if known != version:
            self._woken.set()
            return None
        return score

    def look(self) -> None:
        """Reads the calibration of the adapter that serves, if adapter or file are new."""
        version = self._serving()
        seen = (version, _state_of(calibration_path(self._store.path, version)))
        if seen == self._seen:
            return
        score, warning = None, ""
        try:
            identity = self._identity_of(version)
            calibration = read_calibration(self._store.path, identity, self._store.trusted)
            warning = self._fault(version, calibration)
            if calibration is not None and not warning:
                score = calibration.score
        except AdapterError as error:
            warning = f"help_rule = 'calibrated': {error}"
        if warning and warning != self._warning:
            self._report(warning)
        self._known, self._warning, self._seen = (version, score), warning, seen

    def start(self) -> None:
        """Looks once, then starts the thread."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._woken.wait(self._poll_s)
            self._woken.clear()
            if not self._stopping:
                self.look()

    def _fault(self, version: int, calibration: HelpCalibration | None) -> str:
        where = f"{COMMAND} EPISODES --adapters {self._store.path} --adapter {version}"
        if calibration is None:
            return f"help_rule = 'calibrated', but {policy_name(version)} has no calibration: {where}"
        faults = [
            f"{name} = {found} of the calibration is not {own} of the node"
            for name, found, own in (
                ("replan_steps", calibration.replan_steps, self._replan_steps),
                ("action_horizon", calibration.action_horizon, self._action_horizon),
            )
            if found != own
        ]
        if not faults:
            return ""
        options = f"--replan-steps {self._replan_steps} --action-horizon {self._action_horizon}"
        return f"help_rule = 'calibrated', {policy_name(version)}: {'; '.join(faults)}: {where} {options}"


def _state_of(path: Path) -> tuple[int, ...]:
    """What changes with the file; empty without one."""
    try:
        status = path.lstat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
