"""The stages of a training run: load, optimise, judge, publish. The first imports torch, which takes seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apo_core.adapters.manifest import AdapterVersion
from apo_core.adapters.signature import read_signing_key
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_trainer.config import TrainerConfig
from apo_trainer.data.dataset import RejectedEpisode, TrainingData, load_training_data
from apo_trainer.runs.files import DONE, PUBLISHED, REFUSED, MetricsFile, RunFiles, RunRequest

if TYPE_CHECKING:
    from apo_trainer.optimisation.trainer import Trainer
    from apo_vla.policy import VlaPolicy

Report = Callable[[dict[str, Any]], None]


class Interrupted(Exception):
    """The run was told to stop."""


def train(
    config: TrainerConfig,
    request: RunRequest,
    files: RunFiles,
    report: Report,
    should_stop: Callable[[], bool],
    gated: bool,
    result: dict[str, Any],
) -> None:
    """Goes through all stages and says in `result` how it went; see `training_run.run` for the arguments.

    Raises:
        Interrupted: `should_stop` said so, in any process.
        ApoError: data, policy or parent do not serve.
        OSError: something cannot be read or written.
        FloatingPointError: a loss or gradient is not finite.
    """
    store = AdapterStore(config.adapter_dir)
    store.versions()  # a folder that is no store is told before training, not after it
    key = read_signing_key(config.signing_key) if config.signing_key else None
    parent = store.read(request.parent) if request.parent else None
    # 0, and what the run starts from, is compared with as the reference
    serving = store.read(request.serving) if request.serving not in (0, request.parent) else None
    # read by OpenMP when torch comes in: threads that wait by spinning make steps ten times slower on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # what is wrong so far was reported before these imports
    import torch

    from apo_trainer.optimisation.distributed import processes
    from apo_trainer.runs.publication import publish
    from apo_vla.policy import VlaPolicy

    if config.threads:
        torch.set_num_threads(config.threads)
    group = processes(config.device)
    result["processes"] = group.count

    def check() -> None:
        if group.any(should_stop()):
            raise Interrupted

    # an episode may have been saved while the processes started one after the other
    request = group.share(request)
    policy = VlaPolicy.load(Path(config.checkpoint_dir), device=str(group.device), lora=None)
    check()
    data = _data(config, request, policy)
    result["data"] = data.report(policy.codec)
    trainer = _trainer(config, files, policy, data, parent, serving, group)
    result["data"] = trainer.data.report(policy.codec)
    result["steps"], result["planned_steps"] = trainer.step, trainer.planned_steps
    notes = [*_origin(config, request), *trainer.notes]
    result["batch"] = {str(name): count for name, count in trainer.method.sampler.counts.items()}
    start = {"run_id": result["run_id"], "steps": trainer.planned_steps, "notes": notes}
    report({"event": "start", **start, **result["data"]})
    check()
    began = time.monotonic()
    last = _optimise(config, trainer, files, report, check, result) if group.is_main else _follow(trainer, check)
    trainer.finish()
    result["train_seconds"] = round(time.monotonic() - began, 3)
    result["notes"] = [*_origin(config, request), *trainer.notes]
    result["metrics"] = last
    if trainer.stop_reason:
        result["notes"].append(f"stopped early: {trainer.stop_reason}")
    group.end()
    if not group.is_main:
        result["state"] = DONE
        return
    verdict = trainer.evaluate()
    result["verdict"] = verdict.as_dict()
    if should_stop():
        raise Interrupted
    if gated and not verdict.accepted:
        result.update(state=REFUSED, message=f"the gate refused the adapter: {'; '.join(verdict.reasons)}")
        return
    number = publish(store, config, trainer, data.episode_ids, key, result)
    result.update(state=PUBLISHED, version=number, message=f"published adapter {number}")


def _origin(config: TrainerConfig, request: RunRequest) -> list[str]:
    """A note on what the run trains from, where that is not the policy that serves."""
    if request.parent == request.serving:
        return []
    start = f"adapter {request.parent}" if request.parent else "the base policy"
    return [f"trained from {start} (start_from = {config.start_from}), to replace adapter {request.serving}"]


def _data(config: TrainerConfig, request: RunRequest, policy: VlaPolicy) -> TrainingData:
    """What the policy can be trained on, and what was set aside."""
    data = load_training_data(
        [Path(path) for path in request.files],
        config.label_rule,
        policy.chunk,
        config.held_out_share,
        policy.contract_sha256,
        request.parent if config.undesirable_of == "parent" else None,
        config.k_from,
    )
    return replace(data, set_aside=(*(RejectedEpisode(Path(path), why) for path, why in request.missing), *data.set_aside))


def _trainer(config, files, policy, data, parent, serving, group) -> Trainer:
    """Where an interrupted run was."""
    from apo_trainer.optimisation.trainer import Resources, Trainer
    from apo_vla.lora.adapter import check_adapter_config

    cache_dir = files.folder.parent / "reference_cache" if config.reference_cache else None
    resources = Resources(config.feature_cache_mb, cache_dir, config.workers, group)
    version, tensors = parent or (None, None)
    trainer = Trainer(policy, data, config, tensors, resources)
    if version is not None:
        check_adapter_config(trainer.settings, version.adapter_config)
        _check_base(version, policy)
    if serving is not None:
        version, tensors = serving
        try:
            check_adapter_config(trainer.settings, version.adapter_config)
            _check_base(version, policy)
            trainer.compare_with(tensors)
        except AdapterError as error:
            trainer.leave_uncompared(f"adapter {version.number} serves and was not compared with: {error}")
    if files.progress.exists():
        trainer.resume(files.progress)
    return trainer


def _optimise(config, trainer, files, report, check, result) -> dict[str, Any]:
    """Trains and writes down how; returns the metrics of the last step."""
    from apo_trainer.runs.tensorboard import TensorboardLog

    began, first, every = time.monotonic(), trainer.step, config.resume_every_steps
    with MetricsFile(files.metrics, first) as lines, TensorboardLog(files.folder, first) as curves:
        for metrics in trainer.steps():
            last = metrics.as_dict()
            lines.write(last)
            curves.step(last, metrics.samples)
            result["steps"] = metrics.step
            if every and metrics.step % every == 0:
                trainer.save(files.progress)
            elapsed = time.monotonic() - began
            eta = elapsed / (metrics.step - first) * (trainer.planned_steps - metrics.step)
            report({"event": "progress", "steps": trainer.planned_steps, "eta_s": round(eta, 2), **last})
            try:
                check()
            except Interrupted:
                if every:
                    trainer.save(files.progress)
                raise
        curves.adapter(trainer.step, trainer.adapter())
        return lines.last


def _follow(trainer, check) -> dict[str, Any]:
    """Trains beside the main process."""
    for _ in trainer.steps():
        check()
    return {}


def _check_base(version: AdapterVersion, policy) -> None:
    pairs = (
        ("base model", version.base_model_sha256, policy.base_sha256),
        ("statistics", version.statistics_sha256, policy.statistics_sha256),
        ("contract", version.contract_sha256, policy.contract_sha256),
    )
    faults = [f"its {what} is {have[:12]}, the policy's {want[:12]}" for what, have, want in pairs if have != want]
    if faults:
        raise AdapterError(f"adapter {version.number} is of another policy: {'; '.join(faults)}")
