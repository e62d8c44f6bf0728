"""The folder of one training run, from which an interrupted run goes on. No torch.

config.yaml, run.json (its request), metrics.jsonl (a line an optimizer step), progress.safetensors (while
it is not finished), result.json, report.png and files for TensorBoard.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TextIO

from apo_core.errors import ApoError
from apo_core.system.atomic_files import replace_file
from apo_trainer.config import TrainerConfig, read_config, write_config
from apo_trainer.runs.result import RunResult
from apo_trainer.states import RunState


def run_id_at(utc: datetime) -> str:
    """Name of a run that starts at a time, to the millisecond; sorts by it."""
    return utc.strftime("%Y%m%dT%H%M%S.%f")[:-3]


class RunFolderError(ApoError):
    """A folder is not that of a run that can go on."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Request of a run, beside its configuration."""

    run_id: str
    parent: int  # adapter that it trains from, 0: the base policy
    serving: int  # adapter that it is to replace
    files: tuple[str, ...]  # episode files that it began with
    missing: tuple[tuple[str, str], ...] = ()  # requested files that were not found, and why


class RunFiles:
    """Files of the run in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config, self.progress = folder / "config.yaml", folder / "progress.safetensors"
        self.picture = folder / "report.png"
        self.metrics, self.result, self._request = folder / "metrics.jsonl", folder / "result.json", folder / "run.json"

    def check_new(self) -> None:
        """Raises RunFolderError where a run has begun before, which `begin` would write over."""
        if self._request.exists():
            raise RunFolderError(
                f"{self.folder}: a run is there already ({self._state() or 'not ended'}): name a new folder "
                "(--run-dir, --run-id), or go on with it (--resume)"
            )

    def begin(self, config: TrainerConfig) -> None:
        """Makes the folder. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self._request, self.progress, self.result):
            path.unlink(missing_ok=True)
        write_config(config, self.config)

    def write_request(self, request: RunRequest) -> None:
        _replace_json(self._request, asdict(request))

    def write_result(self, result: RunResult) -> None:
        """Raises OSError."""
        _replace_json(self.result, result.as_dict())
        if result.state.is_final:
            self.progress.unlink(missing_ok=True)

    def last_metrics(self) -> dict[str, Any]:
        """Metrics of the last optimizer step; empty before the first. Raises OSError."""
        lines = self.metrics.read_text().splitlines()
        return json.loads(lines[-1]) if lines else {}

    def read(self) -> tuple[TrainerConfig, RunRequest]:
        """What `begin` and `write_request` wrote.

        Raises:
            RunFolderError: the folder holds no run, or one that is finished, or its episode files are gone.
        """
        try:
            values = json.loads(self._request.read_text())
            request = RunRequest(
                values["run_id"],
                values["parent"],
                values["serving"],
                tuple(values["files"]),
                tuple(map(tuple, values["missing"])),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{self.folder}: no run to resume ({type(error).__name__}: {error}); name the folder of a run that "
                "began to train"
            ) from None
        state = self._state()
        if state is not None and state.is_final:
            raise RunFolderError(f"{self.folder}: the run is finished ({state}); start a new one")
        gone = [path for path in request.files if not Path(path).is_file()]
        if gone:
            raise RunFolderError(f"{self.folder}: {len(gone)} of its episode files are gone: {', '.join(gone[:3])}")
        return read_config(self.config), request

    def _state(self) -> RunState | None:
        try:
            return RunState(json.loads(self.result.read_text())["state"])
        except (OSError, ValueError, KeyError):
            return None


class MetricsFile:
    """metrics.jsonl, a line an optimizer step. A context manager.

    Args:
        path: of the file.
        step: steps already done; lines about later ones are dropped, as they are done again.
    """

    def __init__(self, path: Path, step: int = 0):
        if step:
            replace_file(path, "".join(path.read_text().splitlines(keepends=True)[:step]))
        self._file: TextIO = open(path, "a" if step else "w")  # noqa: SIM115

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Raises OSError."""
        self._file.write(json.dumps(metrics) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def explain(error: Exception, places: Sequence[Path | str]) -> str:
    """An error in words; of a full disk also where, which the system does not report."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += f"; one of {', '.join(map(str, places))} is on a full disk: free space and resume the run"
    return text


def _replace_json(path: Path, data: Mapping[str, Any]) -> None:
    replace_file(path, json.dumps(data, indent=2) + "\n")
