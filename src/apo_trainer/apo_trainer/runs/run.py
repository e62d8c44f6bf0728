"""One training run: its folder, how it ends, and what it says. No torch before it is needed."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apo_core.errors import ApoError
from apo_episodes.reader import list_episodes
from apo_trainer.config import TrainerConfig
from apo_trainer.data.dataset import RejectedEpisode, TrainingDataError, find_episodes
from apo_trainer.data.episode_checks import EpisodeChecks
from apo_trainer.runs.files import FAILED, INTERRUPTED, RunFiles, RunRequest, explain
from apo_trainer.runs.stages import Interrupted, Report, train

_TELL_S = 2.0  # between reports of how many files are checked
CHECKS_FILE = "episode_checks.json"  # beside the folders of the runs: which episode files were found sound


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
) -> dict[str, Any]:
    """Trains, judges and publishes; returns what it wrote to result.json.

    Nothing is published when the run fails, is interrupted, or the gate says no.

    Args:
        config: everything about the training and where things are.
        serving: adapter that the new one is to replace, 0 is the base policy; `config.start_from` says whether the
            run trains from it.
        episode_ids: interactions to use; empty: all there are.
        run_dir: folder of this run's files.
        run_id: name of the run.
        report: receives progress.
        should_stop: asked before every step.
        request: of the run in `run_dir`, to go on with it; None starts a new one.
        gated: False publishes what the gate refuses as well, to measure it; the verdict stays what it is.
    """
    began = time.monotonic()
    parent = config.parent_of(serving) if request is None else request.parent
    result: dict[str, Any] = {
        "run_id": run_id,
        "state": FAILED,
        "version": None,
        "parent": parent,
        "serving": serving,
        "method": config.method,
        "message": "",
        "steps": 0,
        "planned_steps": config.steps,
        "seconds": 0.0,
        "verdict": None,
        "metrics": {},
        "data": {},
        "notes": [],
    }
    files = RunFiles(run_dir)
    is_main = is_main_process()
    try:
        if request is None:
            if is_main:
                files.begin(config)
            paths, missing = _episodes(config, episode_ids, run_dir, report, should_stop, is_main)
            unread = tuple((str(item.path), item.reason) for item in missing)
            request = RunRequest(run_id, parent, serving, tuple(map(str, paths)), unread)
            if is_main:
                files.write_request(request)
        train(config, request, files, report if is_main else _silent, should_stop, gated, result)
    except Interrupted:
        result.update(state=INTERRUPTED, message="stopped on request; nothing was published")
    except (ApoError, OSError, FloatingPointError) as error:
        result.update(state=FAILED, message=explain(error, (run_dir, config.adapter_dir)))
        if isinstance(error, TrainingDataError):
            result["message"] += f"; {_whereabouts(config, result['data'])}"
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


def _episodes(config, episode_ids, run_dir, report, should_stop, is_main) -> tuple[list[Path], list[RejectedEpisode]]:
    """Sound files to train on, and what was set aside; other processes than the main one are given its answer."""
    paths, missing = find_episodes(Path(config.episode_dir), Path(config.expert_dir), episode_ids)
    if not is_main:
        return paths, missing

    told_s, number = time.monotonic(), itertools.count()

    def check(_: Path) -> None:
        nonlocal told_s
        if should_stop():
            raise Interrupted
        done, now_s = next(number), time.monotonic()
        if now_s - told_s >= _TELL_S:
            told_s = now_s
            report({"event": "check", "done": done, "files": len(paths)})

    sound, faulty = EpisodeChecks(run_dir.parent / CHECKS_FILE).sort_out(paths, check)
    return sound, [*missing, *faulty]


def _whereabouts(config: TrainerConfig, data: Mapping[str, Any]) -> str:
    """Where the data were looked for, what is there, and what of it was set aside."""
    parts = []
    for name in ("episode_dir", "expert_dir"):
        folder = Path(getattr(config, name))
        there = f"has {len(list_episodes(folder))} episode files" if folder.is_dir() else "does not exist"
        parts.append(f"{name} = {folder} {there}")
    text = f"{', '.join(parts)} (config/trainer.yaml, --episodes, --expert)"
    aside = data.get("set_aside", ())
    return text + (f"; {len(aside)} set aside, the first: {aside[0]['path']}: {aside[0]['reason']}" if aside else "")


def _draw(files: RunFiles, result: dict[str, Any]) -> None:
    """Makes report.png of a run that has done a step, however it ended; a run does not fail for want of a picture."""
    if not result["steps"]:
        return
    from apo_trainer.runs.plot import read_metrics, write_report

    name = f"adapter {result['version']}" if result["version"] else "nothing published"
    title = f"{result['run_id']}: {result['method']} from {result['parent']}, {result['state']}, {name}"
    try:
        write_report(files.picture, read_metrics(files.metrics), title, result["verdict"])
    except OSError as error:
        result["notes"].append(f"{files.picture} could not be written: {error}")


def _silent(message: dict[str, Any]) -> None:
    """What a process reports that is not the main one."""
