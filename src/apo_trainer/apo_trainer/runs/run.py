"""One training run, from its episode files to the published adapter. No torch before it is needed.

`run` is the entry; `_stages` has the stages in order: data, reference and batches, loss, gate, publication.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from apo_core.adapters.manifest import policy_name
from apo_core.errors import ApoError
from apo_episodes.reader import list_episodes
from apo_trainer.config import TrainerConfig
from apo_trainer.data.episode_checks import CHECKS_FILE, EpisodeChecks
from apo_trainer.data.episode_files import find_episodes
from apo_trainer.data.report import DataReport
from apo_trainer.data.samples import TrainingDataError
from apo_trainer.runs.adapters import read_adapters
from apo_trainer.runs.files import RunFiles, RunRequest, explain
from apo_trainer.runs.result import Interrupted, Report, RunResult
from apo_trainer.runs.tracking.installed import check_trackers
from apo_trainer.states import RunState

if TYPE_CHECKING:
    from apo_vla.actions.codec import ActionCodec
    from apo_vla.policy import VlaPolicy

_CHECK_REPORT_S = 2.0  # between reports of how many files are checked


@dataclass(frozen=True, slots=True)
class _Job:
    """Request of a run and the callbacks that it reports to."""

    config: TrainerConfig
    episode_ids: Sequence[str]  # interactions to use; empty: all there are
    files: RunFiles
    report: Report
    should_stop: Callable[[], bool]
    is_main: bool
    gated: bool  # whether what the gate rejects stays unpublished


def is_main_process() -> bool:
    """Of the processes that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def run(
    config: TrainerConfig,
    serving: int,
    episode_ids: Sequence[str],
    run_dir: Path,
    run_id: str,
    report: Report,
    should_stop: Callable[[], bool],
    request: RunRequest | None = None,
    gated: bool = True,
) -> RunResult:
    """Trains, evaluates and publishes; writes result.json and returns what is in it.

    Nothing is published when the run fails, is interrupted, or is rejected by the gate.

    Args:
        config: everything about the training and where things are.
        serving: adapter that the new one is to replace, 0 is the base policy; with `config.training.start_from` = serving the
            run trains from it.
        episode_ids: interactions to use; empty: all there are.
        run_dir: folder of this run's files.
        run_id: name of the run.
        report: receives progress.
        should_stop: called before every step.
        request: of the run in `run_dir`, to go on with it; None starts a new one.
        gated: False publishes what the gate rejects as well, to measure it; the verdict stays what it is.
    """
    began = time.monotonic()
    files, is_main = RunFiles(run_dir), is_main_process()
    parent = config.training.parent_of(serving) if request is None else request.parent
    result = RunResult(run_id, parent, serving, config.training.method, config.training.steps)
    job = _Job(config, episode_ids, files, report if is_main else _silent, should_stop, is_main, gated)
    try:
        for result in _stages(job, request, result):  # noqa: B007: a run that fails keeps the last one
            pass
    except Interrupted:
        result = replace(result, state=RunState.INTERRUPTED, message="stopped on request; nothing was published")
    except (ApoError, OSError, FloatingPointError) as error:
        message = explain(error, (run_dir, config.adapter_dir))
        if isinstance(error, TrainingDataError):
            message += f"; {_whereabouts(config, result.data)}"
        result = replace(result, state=RunState.FAILED, message=message)
    if not is_main:
        return result
    result = replace(_with_picture(files, result), seconds=round(time.monotonic() - began, 3))
    try:
        files.write_result(result)
    except OSError as error:
        result = replace(result, message=f"{result.message} (result.json could not be written: {error})")
    report({"event": "result", **result.as_dict()})
    return result


def _stages(job: _Job, request: RunRequest | None, result: RunResult) -> Iterator[RunResult]:
    """Goes through the stages; yields the result so far after each, and the final one last.

    Raises:
        Interrupted: `should_stop` returned true, in any process.
        ApoError: data, policy or parent do not serve.
        OSError: something cannot be read or written.
        FloatingPointError: a loss or gradient is not finite.
    """
    config, files = job.config, job.files
    if request is None:
        request = _begin(job, result)
    check_trackers(config)
    adapters = read_adapters(config, request)
    # read by OpenMP when torch comes in: threads that wait by spinning make steps ten times slower on a busy machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # importing torch takes seconds; the faults that need none are reported by here
    from apo_trainer.runs import stages
    from apo_trainer.runs.publication import publish

    group = stages.start_processes(config)
    yield (result := replace(result, processes=group.count))

    def check() -> None:
        if group.any(job.should_stop()):
            raise Interrupted

    # data: an episode may have been saved while the processes started, so the main one decides
    request = group.share(request)
    policy = stages.load_policy(config, group)
    check()
    data = stages.load_data(config, request, policy)
    yield (result := replace(result, data=data.report(_bins(policy))))

    # reference and batches
    trainer = stages.make_trainer(config, policy, data, adapters.parent, files, group)
    if adapters.serving is not None:
        stages.compare_with_serving(trainer, adapters.serving)
    if files.progress.exists():
        trainer.resume(files.progress)
    origin = _origin(config, request)
    report = trainer.data.report(_bins(policy))
    result = replace(
        result,
        data=report,
        steps=trainer.step,
        planned_steps=trainer.planned_steps,
        batch={str(name): count for name, count in trainer.method.sampler.counts.items()},
    )
    yield result
    start = {"run_id": result.run_id, "steps": trainer.planned_steps, "notes": [*origin, *trainer.notes]}
    job.report({"event": "start", **start, **report.as_dict()})
    check()

    # loss: the optimizer steps
    began, tracked = time.monotonic(), list[str]()
    if group.is_main:
        steps = stages.optimise(config, trainer, files, job.report, check, result.run_id, tracked)
    else:
        steps = stages.follow(trainer, check)
    for step in steps:
        yield (result := replace(result, steps=step))
    trainer.finish()
    stopped = [f"stopped early: {trainer.stop_reason}"] if trainer.stop_reason else []
    result = replace(
        result,
        train_seconds=round(time.monotonic() - began, 3),
        notes=(*origin, *trainer.notes, *stopped, *tracked),
        metrics=files.last_metrics() if group.is_main else {},
    )
    yield result
    group.end()
    if not group.is_main:
        yield replace(result, state=RunState.DONE)
        return

    # gate
    verdict = trainer.evaluate()
    yield (result := replace(result, verdict=verdict))
    if job.should_stop():
        raise Interrupted
    if job.gated and not verdict.accepted:
        reasons = "; ".join(verdict.reasons)
        yield replace(result, state=RunState.REJECTED, message=f"the gate rejected the adapter: {reasons}")
        return

    # publication
    number = publish(adapters.store, config, trainer, adapters.key, result)
    yield replace(result, state=RunState.PUBLISHED, version=number, message=f"published adapter {number}")


def _begin(job: _Job, result: RunResult) -> RunRequest:
    """Chooses the episode files and writes what `--resume` needs."""
    if job.is_main:
        job.files.begin(job.config)
    config = job.config
    paths, rejected = find_episodes(Path(config.episode_dir), Path(config.expert_dir), job.episode_ids)
    if job.is_main:  # the other processes take its files
        checks = EpisodeChecks(job.files.folder.parent / CHECKS_FILE)
        paths, faulty = checks.sort_out(paths, _check_progress(job, len(paths)))
        rejected = [*rejected, *faulty]
    unread = tuple((str(item.path), item.reason) for item in rejected)
    request = RunRequest(result.run_id, result.parent, result.serving, tuple(map(str, paths)), unread)
    if job.is_main:
        job.files.write_request(request)
    return request


def _check_progress(job: _Job, total: int) -> Callable[[Path], None]:
    """Called before each file that is checked: reports now and then, and ends the run on request."""
    reported_s, number = time.monotonic(), itertools.count()

    def progress(_: Path) -> None:
        nonlocal reported_s
        if job.should_stop():
            raise Interrupted
        done, now_s = next(number), time.monotonic()
        if now_s - reported_s >= _CHECK_REPORT_S:
            reported_s = now_s
            job.report({"event": "check", "done": done, "files": total})

    return progress


def _origin(config: TrainerConfig, request: RunRequest) -> list[str]:
    """Notes on what the run trains from and compares with, where that is not the policy that serves."""
    notes = []
    start = policy_name(request.parent)
    if request.parent != request.serving:
        notes.append(f"trained from {start} (start_from = {config.training.start_from}), to replace adapter {request.serving}")
    if request.parent and config.training.reference == "base":
        notes.append(f"trained from {start}, with log-ratios to the base policy (reference = base)")
    return notes


def _whereabouts(config: TrainerConfig, data: DataReport | None) -> str:
    """Where the data were looked for, what is there, and what of it was rejected."""
    parts = []
    for name in ("episode_dir", "expert_dir"):
        folder = Path(getattr(config, name))
        there = f"has {len(list_episodes(folder))} episode files" if folder.is_dir() else "does not exist"
        parts.append(f"{name} = {folder} {there}")
    text = f"{', '.join(parts)} (config/trainer.yaml, --episodes, --expert)"
    rejected = data.rejected if data else ()
    if not rejected:
        return text
    return f"{text}; {len(rejected)} rejected, the first: {rejected[0].path}: {rejected[0].reason}"


def _with_picture(files: RunFiles, result: RunResult) -> RunResult:
    """Makes report.png of a run that has done a step; a picture that cannot be written is a note."""
    if not result.steps:
        return result
    from apo_trainer.runs.plot import read_metrics, write_report

    name = f"adapter {result.version}" if result.version else "nothing published"
    title = f"{result.run_id}: {result.method} from {result.parent}, {result.state}, {name}"
    try:
        verdict = result.verdict.as_dict() if result.verdict else None
        write_report(files.picture, read_metrics(files.metrics), title, verdict)
    except OSError as error:
        return replace(result, notes=(*result.notes, f"{files.picture} could not be written: {error}"))
    return result


def _silent(message: dict) -> None:
    """Takes the reports of a process that is not the main one."""


def _bins(policy: VlaPolicy) -> ActionCodec | None:
    """The codec of a policy whose tokens are bins, for which recorded tokens are counted."""
    return policy.codec if policy.likelihood().has_context else None
