"""The stages of a training run that need torch; `run.py` has their order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from apo_core.adapters.manifest import AdapterVersion
from apo_core.errors import AdapterError
from apo_trainer.config import TrainerConfig
from apo_trainer.data.dataset import TrainingData, load_training_data
from apo_trainer.data.episode_files import RejectedEpisode
from apo_trainer.optimisation.distributed import Processes, processes
from apo_trainer.optimisation.trainer import Resources, Trainer
from apo_trainer.runs.adapters import StoredAdapter
from apo_trainer.runs.files import MetricsFile, RunFiles, RunRequest
from apo_trainer.runs.result import Interrupted, Report
from apo_trainer.runs.tracking.trackers import open_trackers
from apo_vla.lora.adapter import check_adapter_config
from apo_vla.policy import VlaPolicy


def start_processes(config: TrainerConfig) -> Processes:
    """This process, or the group that a launcher started. Raises ConfigError: there is no such device."""
    if config.threads:
        torch.set_num_threads(config.threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        # the nodes keep a core: a thread that they interrupt makes all others wait for it
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    return processes(config.device)


def load_policy(config: TrainerConfig, group: Processes) -> VlaPolicy:
    """The base policy without an adapter. Raises CheckpointError."""
    return VlaPolicy.load(Path(config.checkpoint_dir), device=str(group.device), lora=None)


def load_data(config: TrainerConfig, request: RunRequest, policy: VlaPolicy) -> TrainingData:
    """Samples that the policy can be trained on, and the rejected files, with those that the request names."""
    data = load_training_data(
        [Path(path) for path in request.files],
        config.training.label_rule,
        policy.chunk,
        config.training.held_out_share,
        policy.contract_sha256,
        request.parent if config.training.undesirable_of == "parent" else None,
        config.training.k_from,
        config.training.held_out_of,
    )
    missing = (RejectedEpisode(Path(path), reason) for path, reason in request.missing)
    return replace(data, rejected=(*missing, *data.rejected))


def make_trainer(
    config: TrainerConfig,
    policy: VlaPolicy,
    data: TrainingData,
    parent: StoredAdapter | None,
    files: RunFiles,
    group: Processes,
) -> Trainer:
    """The trainer at its first step, with the weights of the parent, or the base policy where that is None.

    Raises:
        TrainingDataError: not enough samples.
        AdapterError: the parent does not fit the policy.
    """
    cache_dir = files.folder.parent / "reference_cache" if config.reference_cache else None
    resources = Resources(config.feature_cache_mb, cache_dir, config.workers, group)
    if parent is None:
        return Trainer(policy, data, config.training, None, resources)
    try:
        _check_base(parent[0], policy)
        trainer = Trainer(policy, data, config.training, parent[1], resources)
        check_adapter_config(trainer.settings, parent[0].adapter_config)
    except AdapterError as error:
        raise AdapterError(f"{error}; start_from = base (config/trainer.yaml) trains from the base policy") from error
    return trainer


def compare_with_serving(trainer: Trainer, serving: StoredAdapter) -> None:
    """Lets the gate compare with the adapter that serves; one of another policy or shape gives a note instead."""
    version, tensors = serving
    try:
        check_adapter_config(trainer.settings, version.adapter_config)
        _check_base(version, trainer.policy)
        trainer.compare_with(tensors)
    except AdapterError as error:
        trainer.leave_uncompared(f"adapter {version.number} serves and was not compared with: {error}")


def optimise(
    config: TrainerConfig,
    trainer: Trainer,
    files: RunFiles,
    report: Report,
    check: Callable[[], None],
    run_id: str,
    notes: list[str],
) -> Iterator[int]:
    """Trains, writes metrics and what `--resume` needs; yields the number of steps done after each.

    Args:
        config: of the run.
        trainer: at its next step.
        files: of the run.
        report: receives progress.
        check: called after every step.
        run_id: name of the run, for trackers.
        notes: receives what a tracker failed at.

    Raises:
        Interrupted: of `check`, after the progress is saved.
        OSError: a file cannot be written.
        FloatingPointError: a loss or gradient is not finite.
    """
    began, first, every, reported = time.monotonic(), trainer.step, config.resume_every_steps, 0

    def report_notes() -> None:
        nonlocal reported
        for reported, text in enumerate(notes[reported:], start=reported + 1):
            report({"event": "note", "text": text})

    with (
        MetricsFile(files.metrics, first) as lines,
        open_trackers(config, run_id, files.folder, first, notes.append) as curves,
    ):
        for metrics in trainer.steps():
            last = metrics.as_dict()
            lines.write(last)
            curves.step(last, metrics.samples)
            yield metrics.step
            if every and metrics.step % every == 0:
                trainer.save(files.progress)
            elapsed = time.monotonic() - began
            eta = elapsed / (metrics.step - first) * (trainer.planned_steps - metrics.step)
            report({"event": "progress", "steps": trainer.planned_steps, "eta_s": round(eta, 2), **last})
            report_notes()
            try:
                check()
            except Interrupted:
                if every:
                    trainer.save(files.progress)
                raise
        curves.adapter(trainer.step, trainer.adapter())
    report_notes()


def follow(trainer: Trainer, check: Callable[[], None]) -> Iterator[int]:
    """Trains beside the main process; yields as `optimise`."""
    for metrics in trainer.steps():
        yield metrics.step
        check()


def _check_base(version: AdapterVersion, policy: VlaPolicy) -> None:
    pairs = (
        ("base model", version.base_model_sha256, policy.base_sha256),
        ("statistics", version.statistics_sha256, policy.statistics_sha256),
        ("contract", version.contract_sha256, policy.contract_sha256),
    )
    faults = [f"its {what} is {have[:12]}, the policy's {want[:12]}" for what, have, want in pairs if have != want]
    if faults:
        raise AdapterError(f"adapter {version.number} is of another policy: {'; '.join(faults)}")
