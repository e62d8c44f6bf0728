"""Puts the adapter of a run into the store, once however often the run goes on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping

import numpy as np

from apo_core.adapters import files as adapter_files
from apo_core.adapters.manifest import EMITTED, MODEL_FILE, ManifestInput
from apo_core.adapters.signature import SigningKey
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.system.timestamps import utc_now
from apo_trainer.config import TrainerConfig
from apo_trainer.optimisation.trainer import Trainer
from apo_trainer.runs.result import RunResult
from apo_vla.lora.adapter import adapter_config


def publish(
    store: AdapterStore,
    config: TrainerConfig,
    trainer: Trainer,
    key: SigningKey | None,
    result: RunResult,
) -> int:
    """The adapter's version in the store; the one it has there already if the run ended between this and its result.

    Args:
        store: where to.
        config: of the run.
        trainer: done.
        key: signs it; None: it is not signed.
        result: of the run so far, with its data, metrics, notes and verdict.

    Raises:
        AdapterError: the store cannot be written.
    """
    policy, tensors, data, verdict = trainer.policy, trainer.adapter(), result.data, result.verdict
    if data is None or verdict is None:
        raise ValueError(f"run {result.run_id} has no data or no verdict yet")
    there = _version_of(store, result.run_id, tensors)
    if there is not None:
        _promote(store, there, config)
        return there
    counts = {
        "train_samples": data.train_samples,
        "held_out_samples": data.held_out_samples,
        "held_out_episodes": list(data.held_out_episodes),
        "policy_tokens": data.policy_tokens,
    }
    manifest = ManifestInput(
        parent=result.parent,
        base_model_sha256=policy.base_sha256,
        statistics_sha256=policy.statistics_sha256,
        contract_sha256=policy.contract_sha256,
        episode_ids=trainer.data.episode_ids,
        config_sha256=config.training.sha256,
        metrics={
            "run_id": result.run_id,
            "serving": result.serving,
            "last_step": result.metrics,
            "data": counts,
            "notes": list(result.notes),
        },
        created_utc=utc_now(),
        method=config.training.method,
        self_test=trainer.self_test(),
        config=config.training.facts,
        # the store takes nothing that the gate has rejected
        verdict=verdict.as_dict() if verdict.accepted else None,
        action_labels=EMITTED,
    )
    return store.publish(tensors, adapter_config(trainer.settings), manifest, config.promote, key).number


def _version_of(store: AdapterStore, run_id: str, tensors: Mapping[str, np.ndarray]) -> int | None:
    """The version that this run published with these very values."""
    digest = hashlib.sha256(adapter_files.to_safetensors(tensors)).hexdigest()
    for version in reversed(store.versions()):
        with contextlib.suppress(AdapterError):  # a damaged one is not it
            manifest = store.manifest(version)
            if manifest["metrics"].get("run_id") == run_id and manifest["files"][MODEL_FILE]["sha256"] == digest:
                return version
    return None


def _promote(store: AdapterStore, version: int, config: TrainerConfig) -> None:
    promotion = store.promotion()
    if config.promote and version != promotion.number and version not in promotion.history:
        store.promote(version, utc_now(), f"published by method {config.training.method}")
