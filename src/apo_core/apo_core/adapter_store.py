"""Adapter store: one folder a LoRA adapter, published whole or not at all, under a number that is never used again.

`<store>/<NNNNNN>/` holds `adapter_model.safetensors` and `adapter_config.json`, as PEFT writes them, and
`manifest.json` with the size and sha256 of both. Version 0 is the base policy and has no folder. Nothing in a store is
trusted: reading checks sizes before reading, hashes before parsing, and follows no link. Whether the tensors fit a
model is for `apo_core.vla.lora` to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from apo_core.adapter_manifest import (
    CONFIG_FILE,
    MANIFEST_FILE,
    MAX_BYTES,
    MAX_NUMBER,
    MODEL_FILE,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    AdapterVersion,
    ManifestInput,
    config_faults,
    document_faults,
    fields_of,
    folder_name,
    manifest_faults,
)
from apo_core.errors import AdapterError

MAX_HEADER_BYTES = 16 << 20  # JSON header of a safetensors file
DTYPES = (np.dtype(np.float32), np.dtype(np.float16))
_FOLDER = re.compile(r"[0-9]{6,10}")
_TEMPORARY = ".publishing-"
_LAST_NUMBER = ".last_number"


class AdapterStore:
    """The adapters in one folder. Several processes may publish, prune and read at once.

    Args:
        path: folder; made by the first publication.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)

    def versions(self) -> list[int]:
        """Numbers of the published adapters, ascending; read() says whether one is sound."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AdapterError(f"adapter store {self.path} cannot be listed: {error}") from None
        return sorted(int(name) for name in names if _FOLDER.fullmatch(name) and name == folder_name(int(name)))

    def latest(self) -> int:
        """Number of the newest published adapter; 0, the base policy, when there is none."""
        return max(self.versions(), default=0)

    def publish(
        self, tensors: Mapping[str, np.ndarray], adapter_config: Mapping[str, Any], manifest: ManifestInput
    ) -> AdapterVersion:
        """Writes an adapter under the next number; it appears at once and is on disk when this returns.

        Args:
            tensors: float32 or float16, by PEFT parameter name.
            adapter_config: content of PEFT's adapter_config.json.

        Raises:
            AdapterError: something in the arguments is not of its type, or the folder cannot be written.
        """
        faults = manifest_faults(fields_of(manifest)) + config_faults(adapter_config)
        if not tensors:
            faults.append("tensors is empty")
        for name, value in tensors.items():
            if not isinstance(value, np.ndarray) or value.dtype not in DTYPES or value.size == 0:
                faults.append(f"tensor '{name}' must be a non-empty array of float32 or float16")
        if faults:
            raise AdapterError(f"adapter cannot be published to {self.path}: {'; '.join(faults)}")
        files = {
            MODEL_FILE: safetensors_numpy.save(
                {name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata={"format": "pt"}
            ),
            CONFIG_FILE: _to_json(adapter_config),
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self._locked():
                number = self._take_number()
                if manifest.parent >= number:
                    raise AdapterError(f"parent = {manifest.parent} must be below number = {number} ({self.path})")
                self._write(number, files, manifest)
        except OSError as error:
            raise AdapterError(f"adapter cannot be published to {self.path}: {error}") from None
        return AdapterVersion(**fields_of(manifest), number=number, adapter_config=json.loads(files[CONFIG_FILE]))

    def prune(self, keep: int) -> list[int]:
        """Removes all but the newest `keep` adapters; returns the numbers removed. They are not used again."""
        if keep < 1:
            raise AdapterError(f"keep = {keep} must be at least 1")
        if not self.path.is_dir():
            return []
        with self._locked():
            removed = self.versions()[:-keep]
            for number in removed:
                # renamed first, so that a reader finds all of it or none
                gone = self.path / f"{_TEMPORARY}{folder_name(number)}"
                os.rename(self.path / folder_name(number), gone)
                _remove(gone)
            _sync_folder(self.path)
        return removed

    def read(self, version: int) -> tuple[AdapterVersion, dict[str, np.ndarray]]:
        """Reads an adapter after checking sizes, hashes and schema of everything in its folder.

        Returns:
            The manifest and {name: float32 or float16 array}; values may be non-finite, shapes are not checked.

        Raises:
            AdapterError: not in the store, or damaged in any way.
        """
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= MAX_NUMBER:
            raise AdapterError(
                f"adapter version {version!r} must be 1..{MAX_NUMBER}; 0 is the base policy and is not in the store"
            )
        where = f"adapter {version} in {self.path}"
        try:
            folder = os.open(self.path / folder_name(version), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise AdapterError(f"{where} does not exist; versions there: {self.versions() or 'none'}") from None
        except OSError as error:
            raise AdapterError(f"{where} is not a folder of its own (a link or a file): {error}") from None
        try:
            return _read_folder(folder, version)
        except AdapterError as error:
            raise AdapterError(f"{where} is refused: {error}") from None
        except (OSError, RecursionError, MemoryError) as error:
            raise AdapterError(f"{where} cannot be read: {type(error).__name__}: {error}") from None
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the store against every other publisher, in this process or another."""
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _take_number(self) -> int:
        """The next number; written down before it is used, so that deleting an adapter never frees its number."""
        counter, last = self.path / _LAST_NUMBER, 0
        if counter.exists():
            text = counter.read_text()[:32].strip()
            if not text.isascii() or not text.isdigit():
                raise AdapterError(
                    f"{counter} holds {text!r}, not a number: write the highest version ever used into it"
                )
            last = int(text)
        number = max([last, *(int(name) for name in os.listdir(self.path) if _FOLDER.fullmatch(name))]) + 1
        if number > MAX_NUMBER:
            raise AdapterError(f"adapter number {number} is above {MAX_NUMBER}: start a new store beside {self.path}")
        temporary = self.path / f"{_LAST_NUMBER}.new"
        _write_file(temporary, f"{number}\n".encode())
        os.replace(temporary, counter)
        _sync_folder(self.path)
        return number

    def _write(self, number: int, files: dict[str, bytes], manifest: ManifestInput) -> None:
        """Fills a temporary folder and renames it into place; what a killed publisher left is removed first."""
        for entry in self.path.glob(f"{_TEMPORARY}*"):
            _remove(entry)
        document = {
            "schema": SCHEMA_NAME,
            "schema_version": SCHEMA_VERSION,
            "number": number,
            **fields_of(manifest),
            "files": {
                name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
            },
        }
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.path))
        try:
            for name, data in {**files, MANIFEST_FILE: _to_json(document)}.items():
                if len(data) > MAX_BYTES[name]:
                    raise AdapterError(f"{name} has {len(data)} bytes, at most {MAX_BYTES[name]} are allowed")
                _write_file(temporary / name, data)
            temporary.chmod(0o755)
            _sync_folder(temporary)
            os.rename(temporary, self.path / folder_name(number))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(self.path)


def _remove(path: Path) -> None:
    """Removes a folder with its content; of a link, the link only."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _to_json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _write_file(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_file(folder: int, name: str) -> bytes:
    """Bytes of a regular file of an open folder, no link, not larger than its kind may be."""
    limit = MAX_BYTES[name]
    try:
        # non-blocking, so that a named pipe cannot make the reader wait for ever
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise AdapterError(f"{name} is missing") from None
    except OSError as error:
        raise AdapterError(f"{name} is not a plain file: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise AdapterError(f"{name} is not a plain file")
    with open(descriptor, "rb") as file:
        if status.st_size > limit:
            raise AdapterError(f"{name} has {status.st_size} bytes, at most {limit} are allowed")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise AdapterError(f"{name} has more than {limit} bytes")
    return data


def _read_folder(folder: int, number: int) -> tuple[AdapterVersion, dict[str, np.ndarray]]:
    extra = sorted(set(os.listdir(folder)) - set(MAX_BYTES))
    if extra:
        raise AdapterError(f"unexpected entries {extra[:5]}; an adapter holds {sorted(MAX_BYTES)}")
    document = _parse_json(_read_file(folder, MANIFEST_FILE), MANIFEST_FILE)
    faults = document_faults(document, number)
    if faults:
        raise AdapterError(f"{MANIFEST_FILE}: {'; '.join(faults)}")
    contents = {}
    for name, entry in document["files"].items():
        data = _read_file(folder, name)
        if len(data) != entry["bytes"]:
            raise AdapterError(f"{name} has {len(data)} bytes, the manifest says {entry['bytes']}")
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise AdapterError(f"{name} does not have the sha256 of the manifest")
        contents[name] = data
    config = _parse_json(contents[CONFIG_FILE], CONFIG_FILE)
    faults = config_faults(config)
    if faults:
        raise AdapterError(f"{CONFIG_FILE}: {'; '.join(faults)}")
    given = {name: value for name, value in document.items() if name not in ("schema", "schema_version", "files")}
    given["episode_ids"] = tuple(given["episode_ids"])
    return AdapterVersion(**given, adapter_config=config), _parse_tensors(contents[MODEL_FILE])


def _parse_json(data: bytes, name: str) -> dict[str, Any]:
    def reject(text: str) -> None:
        raise ValueError(f"{text} is not allowed")

    try:
        document = json.loads(data.decode(), parse_constant=reject)
    except ValueError as error:
        raise AdapterError(f"{name} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise AdapterError(f"{name} must hold a JSON object, not {type(document).__name__}")
    return document


def _parse_tensors(data: bytes) -> dict[str, np.ndarray]:
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header > MAX_HEADER_BYTES or 8 + header > len(data):
        raise AdapterError(
            f"{MODEL_FILE} ({len(data)} bytes) claims a header of {header} bytes, the limit is {MAX_HEADER_BYTES}"
        )
    try:
        tensors = safetensors_numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise AdapterError(f"{MODEL_FILE} is not a safetensors file of float arrays: {error!r}") from None
    if not tensors:
        raise AdapterError(f"{MODEL_FILE} holds no tensor")
    for name, value in tensors.items():
        if value.dtype not in DTYPES:
            raise AdapterError(f"{MODEL_FILE}: tensor '{name}' is {value.dtype}, it must be float32 or float16")
    return tensors
