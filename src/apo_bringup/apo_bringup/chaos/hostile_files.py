"""Adapters and episode files as an attacker or a broken disk leaves them."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from apo_core.adapters.manifest import (
    CONFIG_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    AdapterVersion,
    ManifestInput,
    fields_of,
    folder_name,
)
from apo_core.adapters.promotion import CURRENT_FILE, write_promotion
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError

EPISODE_PREFIX = "hostile-"
_HASH = "ab" * 32
_CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
_SPARSE_BYTES = 1 << 40
_MODE = 0o644


class Unpickled:
    """Reading this with pickle makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.path, "code of an adapter ran")


def place_adapter(store_dir: Path, style: str, seed: int, trap: Path) -> tuple[int, Callable[[], None]]:
    """Puts a hostile adapter into a store and makes it the one that policies shall serve.

    Args:
        store_dir: the store.
        style: of `schedule.ADAPTERS`.
        seed: of its bytes.
        trap: file that exists once code from the adapter has run.

    Returns:
        Its number, and what removes it and promotes what was promoted before.
    """
    store, rng = AdapterStore(store_dir), random.Random(seed)
    store_dir.mkdir(parents=True, exist_ok=True)
    promoted = store.promotion()
    if style == "no_folder":
        number = store.latest() + 1000
    else:
        number = _publish(store, style, rng)
        _damage(store_dir / folder_name(number), style, rng, trap)
    write_promotion(store_dir, promoted.promoted(number, "2026-01-01T00:00:00+00:00", "chaos"))

    def remove() -> None:
        # a training run may have promoted its own meanwhile
        if store.promotion().number == number:
            write_promotion(store_dir, promoted) if promoted.number else (store_dir / CURRENT_FILE).unlink()
        folder = store_dir / folder_name(number)
        if folder.is_symlink():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)

    return number, remove


def _publish(store: AdapterStore, style: str, rng: random.Random) -> int:
    """Publishes an adapter that is sound by form; with the shapes of a trained one where there is one."""
    manifest, config, tensors = _sample(store)
    if style == "wrong_base":
        manifest = replace(manifest, base_model_sha256="cd" * 32)
    elif style == "not_finite":
        tensors = {name: np.full_like(value, np.nan) for name, value in tensors.items()}
    elif style == "wrong_shape":
        tensors = {name: np.zeros((rng.randrange(1, 9), 3), np.float32) for name in tensors}
    return store.publish(tensors, config, manifest, promote=False).number


def _sample(store: AdapterStore) -> tuple[ManifestInput, dict, dict[str, np.ndarray]]:
    for number in reversed(store.versions()):
        try:
            version, tensors = store.read(number)
        except AdapterError:
            continue
        return _input_of(version), dict(version.adapter_config), tensors
    manifest = ManifestInput(0, _HASH, _HASH, _HASH, (), _HASH, {}, "2026-01-01T00:00:00+00:00", "apo")
    return manifest, _CONFIG, {"base_model.model.q_proj.lora_A.weight": np.zeros((2, 4), np.float32)}


def _input_of(version: AdapterVersion) -> ManifestInput:
    return replace(ManifestInput(**fields_of(version)), parent=0)


def _damage(folder: Path, style: str, rng: random.Random, trap: Path) -> None:
    model = folder / MODEL_FILE
    if style == "random_bytes":
        for name in (MODEL_FILE, CONFIG_FILE, MANIFEST_FILE):
            (folder / name).write_bytes(rng.randbytes(rng.randrange(1, 5000)))
    elif style == "truncated":
        model.write_bytes(model.read_bytes()[: rng.randrange(1, model.stat().st_size)])
    elif style == "pickle":
        model.write_bytes(pickle.dumps(Unpickled(trap)))
        _rehash(folder)
    elif style == "link":
        shutil.rmtree(folder)
        folder.symlink_to("/")


def _rehash(folder: Path) -> None:
    """Makes size and hash of the manifest fit the damaged file, so that only its content is wrong."""
    import hashlib

    file, data = folder / MANIFEST_FILE, (folder / MODEL_FILE).read_bytes()
    document = json.loads(file.read_text())
    document["files"][MODEL_FILE] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    file.write_text(json.dumps(document))


def place_episode(folder: Path, style: str, seed: int) -> Callable[[], None]:
    """Puts something with the name of an episode file into a folder; returns what removes it.

    Args:
        folder: of the episodes.
        style: of `schedule.EPISODES`.
        seed: of its bytes.
    """
    rng, path = random.Random(seed), folder / f"{EPISODE_PREFIX}{seed}.h5"
    folder.mkdir(parents=True, exist_ok=True)
    sound = sorted(file for file in folder.glob("*.h5") if not file.name.startswith(EPISODE_PREFIX) and file.is_file())
    content = sound[rng.randrange(len(sound))].read_bytes() if sound else b"\x89HDF\r\n\x1a\n" + rng.randbytes(4000)
    if style == "random_bytes":
        path.write_bytes(rng.randbytes(rng.randrange(1, 100_000)))
    elif style == "truncated":
        path.write_bytes(content[: rng.randrange(len(content))])
    elif style == "flipped":
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 20)):
            damaged[rng.randrange(min(len(damaged), 40_000))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
    elif style == "folder":
        path.mkdir()
    elif style == "pipe":
        os.mkfifo(path, _MODE)
    elif style == "link":
        path.symlink_to("/dev/zero")
    elif style == "sparse":
        with path.open("wb") as file:
            file.write(content[:512])
            file.truncate(min(_SPARSE_BYTES, os.statvfs(folder).f_frsize << 30))
    else:
        path.touch()

    def remove() -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    return remove
