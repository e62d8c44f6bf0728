"""The folder of one training run, from which an interrupted run goes on. No torch.

config.yaml, run.json (what it was asked to do), metrics.jsonl (a line an optimizer step), progress.safetensors (while
it is not finished), result.json, report.png and files for TensorBoard.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TextIO

from apo_core.errors import ApoError
from apo_core.system.atomic_files import replace_file
from apo_trainer.config import TrainerConfig, read_config, write_config

PUBLISHED, REFUSED, FAILED, INTERRUPTED = "PUBLISHED", "REFUSED", "FAILED", "INTERRUPTED"
DONE = "DONE"  # of a process that is not the main one, which judges and publishes
_FINISHED = (PUBLISHED, REFUSED)


class RunFolderError(ApoError):
    """A folder is not that of a run that can go on."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked to do, beside its configuration."""

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

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Raises OSError."""
        _replace_json(self.result, result)
        if result["state"] in _FINISHED:
            self.progress.unlink(missing_ok=True)

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
                values.get("serving", values["parent"]),  # older runs started from what served
                tuple(values["files"]),
                tuple(map(tuple, values["missing"])),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{self.folder}: no run to resume ({type(error).__name__}: {error}); name the folder of a run that "
                "began to train"
            ) from None
        state = self._state()
        if state in _FINISHED:
            raise RunFolderError(f"{self.folder}: the run is finished ({state}); start a new one")
        gone = [path for path in request.files if not Path(path).is_file()]
        if gone:
            raise RunFolderError(f"{self.folder}: {len(gone)} of its episode files are gone: {', '.join(gone[:3])}")
        return read_config(self.config), request

    def _state(self) -> str | None:
        try:
            return json.loads(self.result.read_text())["state"]
        except (OSError, ValueError, KeyError):
            return None


class MetricsFile:
    """metrics.jsonl, a line an optimizer step. A context manager.

    Args:
        path: of the file.
        step: steps already done; what the file says about later ones is dropped, as they are done again.

    Attributes:
        last: metrics of the last step.
    """

    def __init__(self, path: Path, step: int = 0):
        kept: list[str] = []
        if step:
            kept = path.read_text().splitlines(keepends=True)[:step]
            replace_file(path, "".join(kept))
        self.last: Mapping[str, Any] = json.loads(kept[-1]) if kept else {}
        self._file: TextIO = open(path, "a" if step else "w")  # noqa: SIM115

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Raises OSError."""
        self.last = metrics
        self._file.write(json.dumps(metrics) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def explain(error: Exception, places: Sequence[Path | str]) -> str:
    """An error in words; of a full disk also where, which the system does not say."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += f"; one of {', '.join(map(str, places))} is on a full disk: free space and resume the run"
    return text


def _replace_json(path: Path, data: Mapping[str, Any]) -> None:
    replace_file(path, json.dumps(data, indent=2) + "\n")
