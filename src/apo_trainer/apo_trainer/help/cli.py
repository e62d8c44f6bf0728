"""`apo help`: learns when a policy needs its operator, and shows what was learned."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apo_core.system.command_line import ToolParser, number, run_tool
from apo_core.tasks.specs import DEFAULT_TASK

_DESCRIPTION = """\
When a policy should ask for help, learned from its recorded takeovers and failures. The calibration lies in the
adapter store, belongs to one adapter (or the base policy), and takes effect in a policy node with help_rule:
calibrated. Exit status: 0 done, 2 an error.
"""


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo help`."""
    tools = ToolParser("apo help", _DESCRIPTION)
    made = tools.add(
        "calibrate",
        _calibrate,
        "learn the score and its threshold from episodes",
        "The policy predicts again in every recorded situation. Part of the episodes fits the score, part gives the "
        "threshold, and the figures printed are of the rest.",
    )
    made.add_argument("paths", nargs="+", metavar="PATH", help="episode files, or folders of them")
    _policy(made)
    made.add_argument(
        "--false-alarms",
        type=number(float, 0.001, 0.999),
        default=0.1,
        help="share of unaided successes that may have an alarm (default %(default)s)",
    )
    made.add_argument(
        "--horizon",
        type=number(float, 0.05, 600.0),
        default=2.0,
        help="s before a takeover or failure that count as trouble (default %(default)s)",
    )
    made.add_argument(
        "--replan-steps", type=number(int, 1, 1000), help="as of the policy node (default: that of the episodes)"
    )
    made.add_argument(
        "--action-horizon", type=number(int, 0, 1000), default=0, help="as of the policy node (default %(default)s)"
    )
    made.add_argument("--key", default="", metavar="FILE", help="private key (PEM) that signs the calibration")
    made.add_argument("--split-seed", type=number(int, 0), default=0, help="of the split (default %(default)s)")
    made.add_argument("--device", default="cpu", help="torch device (default %(default)s)")
    return tools.root


def _policy(of: argparse.ArgumentParser) -> None:
    of.add_argument("--adapters", default="runs/adapters", help="adapter store (default %(default)s)")
    of.add_argument("--adapter", type=number(int, 0), help="adapter; 0 is the base policy (default: the promoted one)")
    of.add_argument(
        "--checkpoint", default=DEFAULT_TASK.checkpoint_dir, help="folder of the base policy (default %(default)s)"
    )


def _calibrate(arguments: argparse.Namespace) -> int:
    from apo_trainer.help.command import calibrate_adapter  # torch

    return calibrate_adapter(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    return run_tool(parser(), argv)


if __name__ == "__main__":
    raise SystemExit(main())
