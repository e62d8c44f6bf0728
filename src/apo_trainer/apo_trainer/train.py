"""Trains one adapter from episode files and publishes it, without ROS: `apo train --help`.

On stdout, unless it is a terminal, one JSON object a line: {"event": "start" | "progress" | "note" | "result", ...};
for people, on stderr.
What it leaves in its folder: see runs/files.py. The same as `python -m apo_trainer.train`; on several devices:
`accelerate launch -m apo_trainer.train ...`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from apo_core.config.parameters import parse_overrides
from apo_core.errors import ApoError, ConfigError
from apo_core.system.parent_death import end_with_parent_if_asked
from apo_core.system.shipped_files import shipped
from apo_trainer.config import METHOD_NAMES, check_typed_folders, read_config
from apo_trainer.runs.files import RunFiles, run_id_at
from apo_trainer.runs.reporter import RunReporter
from apo_trainer.runs.run import is_main_process, run
from apo_trainer.runs.tracking.installed import check_trackers
from apo_trainer.states import RunState

EXIT_STATUS = {
    RunState.PUBLISHED: 0,
    RunState.DONE: 0,
    RunState.FAILED: 2,
    RunState.REJECTED: 3,
    RunState.INTERRUPTED: 130,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status of EXIT_STATUS."""
    options = _options(arguments)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: stopped.append(caught))
    end_with_parent_if_asked()
    if options.resume is not None:
        return _resume(options.resume, lambda: bool(stopped))
    names = ("checkpoint_dir", "episode_dir", "expert_dir", "adapter_dir", "steps", "method")
    try:
        overrides = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        config = read_config(shipped(options.config), {**overrides, **parse_overrides(options.set)})
        check_typed_folders({"--episodes": options.episode_dir, "--expert": options.expert_dir})
        check_trackers(config)
        run_id = options.run_id or run_id_at(datetime.now(UTC))
        run_dir = Path(options.run_dir or Path(config.run_dir) / run_id)
        _check_new(run_id, run_dir)
    except ApoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return EXIT_STATUS[RunState.FAILED]
    os.nice(config.niceness)
    reporter = RunReporter(config.progress_s)
    result = run(config, options.serving, options.episode_ids, run_dir, run_id, reporter, lambda: bool(stopped))
    return EXIT_STATUS[result.state]


def _check_new(run_id: str, run_dir: Path) -> None:
    """Raises ApoError: the run would be written over another one, or outside the folder of the runs."""
    if Path(run_id).name != run_id:
        raise ConfigError(
            "command line", [f"--run-id {run_id!r} must be a name without a folder; --run-dir chooses the folder"]
        )
    if is_main_process():
        RunFiles(run_dir).check_new()


def _resume(folder: Path, should_stop: Callable[[], bool]) -> int:
    """Goes on with the run in `folder`; returns the exit status."""
    try:
        config, request = RunFiles(folder).read()
    except ApoError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return EXIT_STATUS[RunState.FAILED]
    os.nice(config.niceness)
    reporter = RunReporter(config.progress_s)
    result = run(config, request.serving, [], folder, request.run_id, reporter, should_stop, request)
    return EXIT_STATUS[result.state]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.resume is not None and options != parser.parse_args(["--resume", str(options.resume)]):
        parser.error("--resume takes no other option: the run goes on with the parameters and files it began with")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="apo train", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config/trainer.yaml"), help="ROS parameter file")
    parser.add_argument("--episodes", dest="episode_dir", help="folder of recorded interactions")
    parser.add_argument("--episode-ids", nargs="*", default=[], help="only these interactions")
    parser.add_argument("--expert", dest="expert_dir", help="folder of demonstrations")
    parser.add_argument("--checkpoint", dest="checkpoint_dir", help="folder of the base policy")
    parser.add_argument("--adapters", dest="adapter_dir", help="adapter store")
    parser.add_argument(
        "--serving",
        type=int,
        default=0,
        metavar="N",
        help="adapter that serves, which the new one is compared with and is to replace; 0: the base policy. The run "
        "trains from it with start_from=serving (the default), and from the base policy with start_from=base",
    )
    parser.add_argument("--run-dir", help="folder for this run's files; default: a new one in the parameter `run_dir`")
    parser.add_argument("--run-id", help="name of the run; default: the time")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the interrupted run in this folder")
    parser.add_argument("--steps", type=int, help="optimizer steps; 0: as many as follow from the data")
    parser.add_argument("--method", choices=METHOD_NAMES, help="how a batch is drawn and what its loss is")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="any parameter of the file"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
