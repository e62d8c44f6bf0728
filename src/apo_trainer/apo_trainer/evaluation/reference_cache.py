"""Log-probabilities under the reference, kept on disk between runs. No torch.

One SQLite file for each reference; a key names what was seen and which action was scored, so that a value holds for
ever. It only saves work: training goes on without a file that cannot be used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

_KEPT_FILES = 20  # references; older ones are rarely needed again
_BUSY_S = 10.0


class ReferenceCache:
    """Values by key, in memory and, given a folder, in a file shared with other runs.

    Args:
        folder: of the files, made when missing; None keeps nothing beyond this object.
        reference: hexadecimal hash of everything that the values depend on beside their keys.
    """

    def __init__(self, folder: Path | None = None, reference: str = ""):
        self._values: dict[bytes, float] = {}
        self._file: sqlite3.Connection | None = None
        self.fault = ""  # why the file is not used
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open(folder / f"{reference}.sqlite")
            _prune(folder)
        except (OSError, sqlite3.Error) as error:
            self._give_up(folder, error)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: bytes) -> float:
        """Raises KeyError."""
        return self._values[key]

    def get(self, key: bytes) -> float | None:
        return self._values.get(key)

    def put(self, values: Mapping[bytes, float]) -> None:
        """Adds values; one that is there stays."""
        new = {key: value for key, value in values.items() if key not in self._values}
        self._values |= new
        if self._file is None or not new:
            return
        try:
            with self._file:
                self._file.executemany("INSERT OR IGNORE INTO logps VALUES (?, ?)", new.items())
        except sqlite3.Error as error:
            self._give_up(self._path, error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, path: Path) -> None:
        self._path = path
        try:
            self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # not a database, or a broken one
            self.close()
            path.unlink()
            self._connect()

    def _connect(self) -> None:
        file = self._file = sqlite3.connect(self._path, timeout=_BUSY_S)
        # a crash of the machine may cost the file, which is then made anew; a killed run costs nothing
        file.execute("PRAGMA synchronous = OFF")
        with file:
            file.execute("CREATE TABLE IF NOT EXISTS logps (key BLOB PRIMARY KEY, value REAL) WITHOUT ROWID")
        self._values = dict(file.execute("SELECT key, value FROM logps"))
        self._path.touch()  # the newest are kept

    def _give_up(self, path: Path, error: Exception) -> None:
        self.fault = f"{path}: reference log-probabilities are not kept ({type(error).__name__}: {error})"
        self.close()


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.sqlite"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[_KEPT_FILES:]:
        path.unlink(missing_ok=True)
