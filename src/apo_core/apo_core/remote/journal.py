"""What a folder and a store have in common, so that neither is read again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from apo_core.system.atomic_files import sync

_STORE = ""  # the name of the store's own entry


class Journal:
    """Names with their state, as lines of JSON; a line is whole or does not count.

    What it lacks, after a full disk for example, is looked up in the store again.

    Args:
        folder: of the journals; made with the first entry.
        of: what the journal is of; another text is another journal.
    """

    def __init__(self, folder: Path, *of: str):
        name = hashlib.sha256("\0".join(of).encode()).hexdigest()[:16]
        self.path = folder / f"{name}.jsonl"
        self._known: dict[str, list[object]] = {}
        with suppress(OSError):
            for line in self.path.read_text().splitlines():
                with suppress(ValueError, TypeError, KeyError):  # one that was cut off
                    entry = json.loads(line)
                    self._known[entry["file"]] = list(entry["state"])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the store."""
        return not self._known

    @property
    def store_id(self) -> str:
        """Of the store, see `marker`; empty if unknown."""
        state = self._known.get(_STORE)
        return str(state[0]) if state else ""

    def add_store(self, store_id: str) -> None:
        """Adds the id of the store. Raises OSError."""
        self.add(_STORE, [store_id])

    def state(self, name: str) -> list[object] | None:
        """The state with which a name was added last; None where it was not."""
        return self._known.get(name)

    def add(self, name: str, state: list[object]) -> None:
        """Adds or replaces a name. Raises OSError; then it is not in the journal."""
        self.path.parent.mkdir(exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps({"file": name, "state": state}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self.path.parent)
        self._known[name] = state
