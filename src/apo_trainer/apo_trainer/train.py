"""Trains one adapter from episode files and publishes it, without ROS: `python -m apo_trainer.train --help`.

On stdout one JSON object a line: {"event": "start" | "progress" | "result", ...}; for people, on stderr.
What it leaves in its folder: see run_files.py. On several devices: `accelerate launch -m apo_trainer.train ...`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apo_core.adapter_manifest import ManifestInput
from apo_core.adapter_signature import read_signing_key
from apo_core.adapter_store import AdapterStore
from apo_core.errors import ApoError
from apo_trainer.config import METHOD_NAMES, TrainerConfig, parse_overrides, read_config
from apo_trainer.dataset import SetAside, TrainingData, find_episodes, load_training_data
from apo_trainer.episode_checks import EpisodeChecks
from apo_trainer.run_files import MetricsFile, RunFiles, RunRequest, explain
from apo_trainer.run_reporter import RunReporter

PUBLISHED, REFUSED, FAILED, INTERRUPTED = "PUBLISHED", "REFUSED", "FAILED", "INTERRUPTED"
CHECKS_FILE = "episode_checks.json"  # beside the folders of the runs: which episode files were found sound
DONE = "DONE"  # a process that is not the main one, which judges and publishes
EXIT_STATUS = {PUBLISHED: 0, DONE: 0, FAILED: 2, REFUSED: 3, INTERRUPTED: 130}
Report = Callable[[dict[str, Any]], None]


class Interrupted(Exception):
    """The run was told to stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status of EXIT_STATUS."""
    options = _parser().parse_args(arguments)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: stopped.append(caught))
    _end_with_parent()
    if options.resume is not None:
        return _resume(options.resume, lambda: bool(stopped))
    names = ("checkpoint_dir", "episode_dir", "expert_dir", "adapter_dir", "steps", "method")
    try:
        overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        config = read_config(options.config, {**overrides, **parse_overrides(options.set)})
    except ApoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return EXIT_STATUS[FAILED]
    os.nice(config.niceness)
    run_id = options.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    run_dir = Path(options.run_dir or Path(config.run_dir) / run_id)
    reporter = RunReporter(config.progress_s)
    result = run(config, options.parent, options.episode_ids, run_dir, run_id, reporter, lambda: bool(stopped))
    return EXIT_STATUS[result["state"]]


def _resume(folder: Path, should_stop: Callable[[], bool]) -> int:
    """Goes on with the run in `folder`; returns the exit status."""
    try:
        config, request = RunFiles(folder).read()
    except ApoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return EXIT_STATUS[FAILED]
    os.nice(config.niceness)
    reporter = RunReporter(config.progress_s)
    result = run(config, request.parent, [], folder, request.run_id, reporter, should_stop, request)
    return EXIT_STATUS[result["state"]]


def run(
    config: TrainerConfig,
    parent: int,
    episode_ids: Sequence[str],
    run_dir: Path,
    run_id: str,
    report: Report,
    should_stop: Callable[[], bool],
    request: RunRequest | None = None,
    gated: bool = True,
) -> dict[str, Any]:
    """Trains, judges and publishes; returns what it wrote to result.json.

    Nothing is published when the run fails, is interrupted, or the gate says no.

    Args:
        config: everything about the training and where things are.
        parent: adapter to start from, and reference; 0 is the base policy.
        episode_ids: interactions to use; empty: all there are.
        run_dir: folder of this run's files.
        run_id: name of the run.
        report: receives progress.
        should_stop: asked before every step.
        request: of the run in `run_dir`, to go on with it; None starts a new one.
        gated: False publishes what the gate refuses as well, to measure it; the verdict stays what it is.
    """
    began = time.monotonic()
    result: dict[str, Any] = {
        "run_id": run_id,
        "state": FAILED,
        "version": None,
        "parent": parent,
        "method": config.method,
        "message": "",
        "steps": 0,
        "seconds": 0.0,
        "verdict": None,
        "metrics": {},
        "data": {},
        "notes": [],
    }
    files = RunFiles(run_dir)
    is_main = os.environ.get("RANK", "0") == "0"  # of the processes that a launcher started
    try:
        if request is None:
            if is_main:
                files.begin(config)
            paths, missing = _episodes(config, episode_ids, run_dir, should_stop, is_main)
            unread = tuple((str(item.path), item.reason) for item in missing)
            request = RunRequest(run_id, parent, tuple(map(str, paths)), unread)
            if is_main:
                files.write_request(request)
        _train(config, request, files, report if is_main else _silent, should_stop, gated, result)
    except Interrupted:
        result.update(state=INTERRUPTED, message="stopped on request; nothing was published")
    except (ApoError, OSError, FloatingPointError) as error:
        result.update(state=FAILED, message=explain(error, (run_dir, config.adapter_dir)))
    if not is_main:
        return result
    _draw(files, result)
    result["seconds"] = round(time.monotonic() - began, 3)
    try:
        files.write_result(result)
    except OSError as error:
        result["message"] += f" (result.json could not be written: {error})"
    report({"event": "result", **result})
    return result


def _episodes(config, episode_ids, run_dir, should_stop, is_main) -> tuple[list[Path], list[SetAside]]:
    """Sound files to train on, and what was set aside; other processes than the main one are given its answer."""
    paths, missing = find_episodes(Path(config.episode_dir), Path(config.expert_dir), episode_ids)
    if not is_main:
        return paths, missing

    def check(_: Path) -> None:
        if should_stop():
            raise Interrupted

    sound, faulty = EpisodeChecks(run_dir.parent / CHECKS_FILE).sort_out(paths, check)
    return sound, [*missing, *faulty]


def _draw(files: RunFiles, result: dict[str, Any]) -> None:
    """Makes report.png of a run that has done a step, however it ended; a run does not fail for want of a picture."""
    if not result["steps"]:
        return
    from apo_trainer.run_report import read_metrics, write_report

    name = f"adapter {result['version']}" if result["version"] else "nothing published"
    title = f"{result['run_id']}: {result['method']} from {result['parent']}, {result['state']}, {name}"
    try:
        write_report(files.picture, read_metrics(files.metrics), title, result["verdict"])
    except OSError as error:
        result["notes"].append(f"{files.picture} could not be written: {error}")


def _silent(message: dict[str, Any]) -> None:
    """What a process reports that is not the main one."""


def _end_with_parent() -> None:
    """Lets the kernel interrupt this process when the node that started it dies, so that no orphan goes on training."""
    if os.environ.get("APO_END_WITH_PARENT") == "1":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


def _train(config, request, files, report, should_stop, gated, result) -> None:
    store = AdapterStore(config.adapter_dir)
    parent = request.parent
    key = read_signing_key(config.signing_key) if config.signing_key else None
    parent_version, parent_tensors = store.read(parent) if parent else (None, None)
    # read by OpenMP when torch comes in: threads that wait by spinning make steps ten times slower on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch takes seconds to import: what is wrong so far was reported before that
    import torch

    from apo_core.vla.lora import adapter_config, check_adapter_config
    from apo_core.vla.policy import VlaPolicy
    from apo_trainer.processes import processes
    from apo_trainer.trainer import Resources, Trainer

    if config.threads:
        torch.set_num_threads(config.threads)
    group = processes(config.device)
    # an episode may have been saved while the processes started one after the other
    request = group.share(request)

    def check() -> None:
        if group.any(should_stop()):
            raise Interrupted

    policy = VlaPolicy.load(Path(config.checkpoint_dir), device=str(group.device), lora=None)
    check()
    data = load_training_data(
        [Path(path) for path in request.files],
        config.label_rule,
        policy.chunk,
        config.held_out_share,
        policy.contract_sha256,
        parent if config.undesirable_of == "parent" else None,
    )
    data = replace(data, set_aside=(*(SetAside(Path(path), why) for path, why in request.missing), *data.set_aside))
    result["data"] = data.report()
    cache_dir = files.folder.parent / "reference_cache" if config.reference_cache else None
    resources = Resources(config.feature_cache_mb, cache_dir, config.workers, group)
    trainer = Trainer(policy, data, config, parent_tensors, resources)
    if parent_version is not None:
        check_adapter_config(trainer.settings, parent_version.adapter_config)
        _check_parent(parent_version, policy)
    if files.progress.exists():
        trainer.resume(files.progress)
        result["steps"] = trainer.step
    result["batch"] = {str(name): count for name, count in trainer.method.sampler.counts.items()}
    report({"event": "start", "run_id": result["run_id"], "steps": config.steps, **result["data"]})
    check()
    began = time.monotonic()
    last = _steps(config, trainer, files, report, check, result) if group.is_main else _silent_steps(trainer, check)
    result["train_seconds"] = round(time.monotonic() - began, 3)
    result["notes"] = trainer.notes
    result["metrics"] = last
    if trainer.stop_reason:
        result["notes"].append(f"stopped early: {trainer.stop_reason}")
    group.end()
    if not group.is_main:
        result["state"] = DONE
        return
    verdict = trainer.evaluate()
    result["verdict"] = verdict.as_dict()
    tensors = trainer.adapter()
    if should_stop():
        raise Interrupted
    if gated and not verdict.accepted:
        result.update(state=REFUSED, message=f"the gate refused the adapter: {'; '.join(verdict.reasons)}")
        return
    manifest = ManifestInput(
        parent=parent,
        base_model_sha256=policy.base_sha256,
        statistics_sha256=policy.statistics_sha256,
        contract_sha256=policy.contract_sha256,
        episode_ids=data.episode_ids,
        config_sha256=config.sha256,
        metrics={"last_step": last, "data": _counts(data), "notes": result["notes"]},
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        method=config.method,
        self_test=trainer.self_test(),
        config=config.facts,
        # the store takes nothing that the gate has refused
        verdict=verdict.as_dict() if verdict.accepted else None,
    )
    version = store.publish(tensors, adapter_config(trainer.settings), manifest, config.promote, key)
    result.update(state=PUBLISHED, version=version.number, message=f"published adapter {version.number}")


def _steps(config, trainer, files, report, check, result) -> dict[str, Any]:
    """Trains and writes down how; returns the metrics of the last step."""
    from apo_trainer.tensorboard_log import TensorboardLog

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
            eta = elapsed / (metrics.step - first) * (config.steps - metrics.step)
            report({"event": "progress", "steps": config.steps, "eta_s": round(eta, 2), **last})
            try:
                check()
            except Interrupted:
                if every:
                    trainer.save(files.progress)
                raise
        curves.adapter(trainer.step, trainer.adapter())
        return lines.last


def _silent_steps(trainer, check) -> dict[str, Any]:
    """Trains beside the main process."""
    for _ in trainer.steps():
        check()
    return {}


def _check_parent(version, policy) -> None:
    from apo_core.errors import AdapterError

    pairs = (
        ("base model", version.base_model_sha256, policy.base_sha256),
        ("statistics", version.statistics_sha256, policy.statistics_sha256),
        ("contract", version.contract_sha256, policy.contract_sha256),
    )
    faults = [f"its {what} is {have[:12]}, the policy's {want[:12]}" for what, have, want in pairs if have != want]
    if faults:
        raise AdapterError(f"adapter {version.number} cannot be the parent: {'; '.join(faults)}")


def _counts(data: TrainingData) -> dict[str, Any]:
    report = data.report()
    return {name: report[name] for name in ("train_samples", "held_out_samples", "held_out_episodes")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m apo_trainer.train", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config/trainer.yaml"), help="ROS parameter file")
    parser.add_argument("--episodes", dest="episode_dir", help="folder of recorded interactions")
    parser.add_argument("--episode-ids", nargs="*", default=[], help="only these interactions")
    parser.add_argument("--expert", dest="expert_dir", help="folder of demonstrations")
    parser.add_argument("--checkpoint", dest="checkpoint_dir", help="folder of the base policy")
    parser.add_argument("--adapters", dest="adapter_dir", help="adapter store")
    parser.add_argument("--parent", type=int, default=0, help="adapter to start from and reference; 0: the base policy")
    parser.add_argument("--run-dir", help="folder for this run's files; default: a new one in the parameter `run_dir`")
    parser.add_argument("--run-id", help="name of the run; default: the time")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the interrupted run in this folder")
    parser.add_argument("--steps", type=int, help="optimizer steps")
    parser.add_argument("--method", choices=METHOD_NAMES, help="how a batch is drawn and what its loss is")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="any parameter of the file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
