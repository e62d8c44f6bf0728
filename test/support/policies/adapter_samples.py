"""An adapter of two small tensors with its manifest, and ways to damage one that is published."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.adapters.manifest import ManifestInput

MANIFEST = ManifestInput(
    parent=0,
    base_model_sha256="a" * 64,
    statistics_sha256="b" * 64,
    contract_sha256="c" * 64,
    episode_ids=("ep-1", "ep-2"),
    config_sha256="d" * 64,
    metrics={"loss": 0.25, "steps": 40},
    created_utc="2026-01-02T03:04:05+00:00",
    method="apo",
    self_test={"tokens": [1, 2, 3]},
    config={"steps": 40, "method": "apo"},
    verdict={"accepted": True, "values": {"margin": 1.5}},
)
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
TENSORS = {
    "base_model.model.q_proj.lora_A.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "base_model.model.q_proj.lora_B.weight": np.array([[0.5, -0.5]], np.float16),
}
NOW = "2026-01-05T00:00:00+00:00"


def plain_manifest(policy: Any = None, **changes: Any) -> ManifestInput:
    """No metrics, self-test, settings or verdict; for `policy` where one is given, an object with its three hashes."""
    if policy is not None:
        names = ("base_model_sha256", "statistics_sha256", "contract_sha256")
        hashes = (policy.base_sha256, policy.statistics_sha256, policy.contract_sha256)
        changes = {**dict(zip(names, hashes, strict=True)), **changes}
    plain = dataclasses.replace(MANIFEST, metrics={}, self_test=None, config={}, verdict=None)
    return dataclasses.replace(plain, **changes)


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Replaces fields of a published manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """A file with other content whose hash and size in the manifest are right."""
    (folder / name).write_bytes(data)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(folder, files=files)


def flip_a_bit(folder: Path) -> None:
    """Changes the last byte of the tensors."""
    path = folder / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
