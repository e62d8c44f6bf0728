"""`apo episodes`: tools for episode files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apo_core.system.command_line import ToolParser, json_option, number, run_tool
from apo_episodes.cli import commands
from apo_episodes.cli.compact import add_compact
from apo_episodes.cli.exports import add_export
from apo_episodes.cli.imports import add_import
from apo_episodes.cli.options import label_rule, link, output_folder, paths
from apo_episodes.cli.transfers import add_transfers

_DESCRIPTION = """\
Tools for episode files: the recordings of deployed policies and of demonstrations, one HDF5 file an episode.
A folder stands for the finished episodes in it. Nothing is ever overwritten and no recorded fact is changed: what is
made appears under its name only when it is whole. Exit status: 0 done, 2 an error or an episode that is not valid.
"""


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo episodes`."""
    tools = ToolParser("apo episodes", _DESCRIPTION)
    tools.add(
        "ls",
        commands.ls,
        "list episodes: outcome, steps, takeovers, share of the operator, adapter, losses",
        options=[paths, json_option],
    )
    tools.add(
        "ledger",
        commands.ledger,
        "what the operator's time bought: success by adapter, and points of it for a minute",
        "A row for each adapter: episodes, successes without a takeover, minutes that somebody watched and drove, and "
        "the points of success beyond the adapter before, for each minute that was spent on that one.",
        [paths, json_option],
    )
    tools.add(
        "show",
        commands.show,
        "show everything about episodes but the arrays",
        options=[paths, json_option, label_rule],
    )
    validate = tools.add(
        "validate",
        commands.validate,
        "check episode files",
        "Schema, checksums, finite values, ranges of the contract, rising stamps, labels that agree with who drove, "
        "and that every frame can be read. Exit status 2 if a file has a fault.",
        [paths, json_option],
    )
    validate.add_argument("--no-images", action="store_true", help="leave the frames and checksums out: much faster")

    recover = tools.add(
        "recover",
        commands.recover,
        "make episodes of what a crash left",
        "A recording that was cut off (crash, kill -9, power) becomes an UNLABELED episode with every whole step. One "
        "that is going on is left alone.",
    )
    recover.add_argument(
        "paths", nargs="+", metavar="PATH", help="episode folders, or journals (<episode_dir>/.partial/<id>.journal)"
    )

    relabel = tools.add(
        "relabel",
        commands.relabel,
        "derive the labels under another rule",
        "Labels are derived from recorded facts and are not part of an episode file, which stays as it is. Prints "
        "the steps of each label; --output keeps them, bound to the files by hashes, for programs that derive none.",
        [paths, label_rule],
    )
    relabel.add_argument("--output", metavar="FILE", help="label file to be made (JSON)")

    annotate = tools.add(
        "annotate",
        commands.annotate,
        "correct the outcome of episodes",
        "Writes <id>.annotation.json beside the file, which stays as it was recorded; every reader then sees the "
        "corrected outcome. Decisions are kept; --outcome RECORDED makes the recorded one count again.",
        [paths],
    )
    annotate.add_argument("--outcome", required=True, choices=("SUCCESS", "FAILURE", "UNLABELED", "RECORDED"))
    annotate.add_argument("--note", default="", help="why")
    annotate.add_argument("--author", default="", help="who decides (default: the user's name)")

    split = tools.add(
        "split",
        commands.split,
        "deal a data set out to parts, or cut one recording",
        "With --part the episodes are dealt out by chance to folders within --output; with --at one becomes several.",
        [paths, output_folder],
    )
    how = split.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--part", action="append", metavar="NAME=SHARE", help="a part and its share, e.g. valid=0.1; repeat"
    )
    how.add_argument("--at", nargs="+", type=int, metavar="STEP", help="steps at which a new episode begins")
    split.add_argument(
        "--seed", type=number(int, 0), default=0, help="of the draw; the same one gives the same parts (default 0)"
    )
    link(split)

    tools.add(
        "merge",
        commands.merge,
        "put data sets together in one folder",
        "They must be of one contract, and no episode may be there twice.",
        [paths, output_folder, link],
    )

    filter_ = tools.add(
        "filter",
        commands.filter_,
        "select episodes",
        "Every option given must hold; an option with several values holds for any of them. Prints the files, or puts "
        "them into --output.",
        [paths],
    )
    filter_.add_argument("--outcome", nargs="+", choices=("SUCCESS", "FAILURE", "UNLABELED"), default=[])
    filter_.add_argument("--kind", nargs="+", choices=("DEMONSTRATION", "INTERACTION"), default=[])
    filter_.add_argument("--task", nargs="+", default=[], help="as recorded")
    filter_.add_argument("--operator", nargs="+", default=[], help="as recorded")
    filter_.add_argument(
        "--adapter", nargs="+", type=int, default=[], metavar="VERSION", help="that acted; 0: base policy"
    )
    filter_.add_argument("--since", metavar="DATE", help="created then or later (ISO 8601, UTC)")
    filter_.add_argument("--until", metavar="DATE", help="created before then; a bare day is included")
    filter_.add_argument("--min-steps", type=int, default=0)
    filter_.add_argument("--max-steps", type=int)
    takeover = filter_.add_mutually_exclusive_group()
    takeover.add_argument("--intervened", action="store_true", default=None, help="with a takeover")
    takeover.add_argument("--untouched", dest="intervened", action="store_false", help="without a takeover")
    filter_.add_argument("--lossless", action="store_true", help="nothing was lost while they were recorded")
    filter_.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="with this tag; repeat")
    filter_.add_argument("--output", metavar="FOLDER", help="folder to be made with copies of them")
    link(filter_)

    view = tools.add(
        "view",
        commands.view,
        "make pictures of an episode",
        "Who drove and the label are drawn on every frame. Without an option, a contact sheet <id>.png in this folder.",
    )
    view.add_argument("path", metavar="FILE", help="an episode file")
    view.add_argument("--sheet", metavar="FILE.png", help="contact sheet")
    view.add_argument("--columns", type=int, default=4, help="of the contact sheet (default 4)")
    view.add_argument("--rows", type=int, default=4, help="of the contact sheet (default 4)")
    view.add_argument("--video", metavar="FILE.mp4", help="every step, at the control rate")
    view.add_argument("--rerun", metavar="FILE.rrd", help="recording for the rerun viewer (needs requirements/view.in)")
    label_rule(view)

    stats = tools.add(
        "stats",
        commands.stats,
        "compute normalisation statistics of actions and state",
        "q01, q99, mean, standard deviation, min and max of each dimension; --json prints what a checkpoint's "
        "dataset_statistics.json holds, and more. Also how long the windows of undesirable steps are under the rule.",
        [paths, json_option, label_rule],
    )
    stats.add_argument(
        "--actions",
        choices=("executed", "policy", "human"),
        default="executed",
        help="which actions (default executed; a base policy is trained on human)",
    )

    add_compact(tools)
    add_transfers(tools)
    add_export(tools)
    add_import(tools)
    return tools.root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a tool; an error goes to stderr and the exit status is 2."""
    return run_tool(parser(), argv)
