"""Adapters and training runs of one robot: what the page shows of them, and promotion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apo_console.view.learning import curves, family
from apo_core.adapters.manifest import policy_name
from apo_core.adapters.signature import SigningKey
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError, ApoError
from apo_episodes.names import is_file_name

_RUNS = 50  # newest that are listed
_MAX_BYTES = 16 << 20  # of a file of a run
_OF_RESULT = ("state", "version", "parent", "method", "steps", "planned_steps", "seconds", "message", "notes")


class LearningLibrary:
    """The adapter store and the folder of the training runs; used by one thread at a time.

    Args:
        adapter_dir: the store.
        run_dir: `run_dir` of the trainer; need not exist (docs/how-to/training_runs.md).
        key: signs promotions; None: they are not signed.
    """

    def __init__(self, adapter_dir: Path, run_dir: Path, key: SigningKey | None = None):
        self._store, self._runs = AdapterStore(adapter_dir, key=key), Path(run_dir)
        self._manifests: dict[int, dict[str, Any]] = {}

    def adapters(self) -> dict[str, Any]:
        """`{adapters, serving, reason, changed}`; see `view.learning.family`.

        Raises:
            AdapterError: the store cannot be listed, or what it promotes cannot be read.
        """
        versions = self._store.versions()
        # a published adapter never changes
        self._manifests = {number: found for number, found in self._manifests.items() if number in versions}
        found: dict[int, dict[str, Any] | str] = {}
        for number in versions:
            try:
                if number not in self._manifests:
                    self._manifests[number] = self._store.manifest(number)
                found[number] = self._manifests[number]
            except AdapterError as error:
                found[number] = str(error)
        promotion = self._store.promotion()
        return {
            "adapters": family(found, promotion),
            "serving": promotion.number,
            "reason": promotion.reason,
            "changed": promotion.changed_utc,
        }

    def runs(self) -> list[dict[str, Any]]:
        """The newest training runs, the newest first; one without a result is going on, or was cut off."""
        try:
            folders = sorted((path for path in self._runs.iterdir() if (path / "run.json").is_file()), reverse=True)
        except OSError:
            return []
        rows = []
        for folder in folders[:_RUNS]:
            result = _read_json(folder / "result.json")
            verdict = result.get("verdict") or {}
            rows.append(
                {
                    "id": folder.name,
                    **{name: result.get(name) for name in _OF_RESULT},
                    "accepted": verdict.get("accepted"),
                    "reasons": verdict.get("reasons", []),
                }
            )
        return rows

    def metrics(self, run_id: str) -> dict[str, list[float | None]]:
        """Curves of a run, see `view.learning.curves`; empty before its first step.

        Raises:
            ApoError: no such run.
        """
        folder = self._runs / run_id
        if not is_file_name(run_id) or not (folder / "run.json").is_file():
            raise ApoError(f"run {run_id[:80]!r} is not in {self._runs}")
        try:
            with open(folder / "metrics.jsonl", "rb") as file:
                lines = file.read(_MAX_BYTES).splitlines()
        except FileNotFoundError:
            return {}
        rows = []
        for line in lines:
            try:
                values = json.loads(line, parse_constant=lambda _: None)
            except ValueError:  # the line that is being written
                continue
            if isinstance(values, dict):
                rows.append(values)
        return curves(rows)

    def promote(self, version: int, reason: str, now_utc: str) -> str:
        """Makes the policies serve an adapter; 0 is the base policy.

        Raises:
            AdapterError: it cannot be read, or the store cannot be written.
        """
        return f"{policy_name(self._store.promote(version, now_utc, reason).number)} is promoted"

    def roll_back(self, reason: str, now_utc: str) -> str:
        """Goes back to what was promoted before.

        Raises:
            AdapterError: nothing was, or the store cannot be written.
        """
        return f"{policy_name(self._store.roll_back(now_utc, reason).number)} is promoted again"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_MAX_BYTES), parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
