"""`current.json` of an adapter store: the promotion in force, replaced whole."""

from __future__ import annotations

import os
from pathlib import Path

from apo_core.adapter_publication import TEMPORARY
from apo_core.adapters import files as adapter_files
from apo_core.adapters import promotion as adapter_promotion
from apo_core.adapters.promotion import Promotion
from apo_core.errors import AdapterError

CURRENT_FILE = "current.json"
_MAX_BYTES = 1 << 16


def read(store: Path) -> Promotion:
    """The promotion in force; the base policy where nothing was ever promoted.

    Raises:
        AdapterError: the file cannot be read or is damaged.
    """
    try:
        folder = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return Promotion()
    except OSError as error:
        raise AdapterError(f"adapter store {store} cannot be read: {error}") from None
    try:
        if CURRENT_FILE not in os.listdir(folder):
            return Promotion()
        data = adapter_files.read_plain_file(folder, CURRENT_FILE, _MAX_BYTES)
        return adapter_promotion.from_document(adapter_files.parse_json(data, CURRENT_FILE))
    except (AdapterError, OSError, RecursionError) as error:
        raise AdapterError(
            f"{store / CURRENT_FILE} is refused: {error}; delete it and promote a version (apo adapters promote)"
        ) from None
    finally:
        os.close(folder)


def write(store: Path, promotion: Promotion) -> None:
    """Puts a promotion in force; for whoever holds the store's lock. Raises OSError."""
    data = adapter_files.to_json(promotion.as_document())
    adapter_files.replace_file(store / CURRENT_FILE, data, store / f"{TEMPORARY}current")
