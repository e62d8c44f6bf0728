"""`apo episodes`: tools for episode files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apo_core.command_line import run_tool
from apo_core.episode_tools import commands
from apo_core.labeling import FAILURE_RULES, LabelRule

_PATHS = "episode files (*.h5), or folders of them"
_DESCRIPTION = """\
Tools for episode files: the recordings of deployed policies and of demonstrations, one HDF5 file an episode.
A folder stands for the finished episodes in it. Nothing is ever overwritten and no recorded fact is changed: what is
made appears under its name only when it is whole. Exit status: 0 done, 2 an error or an episode that is not valid.
"""


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo episodes`."""
    root = argparse.ArgumentParser(
        prog="apo episodes", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tools = root.add_subparsers(dest="tool", required=True, metavar="TOOL")

    def tool(name: str, run, text: str, details: str = "") -> argparse.ArgumentParser:
        made = tools.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {details}".strip())
        made.set_defaults(run=run)
        return made

    def paths(of: argparse.ArgumentParser) -> None:
        of.add_argument("paths", nargs="+", metavar="PATH", help=_PATHS)

    def json(of: argparse.ArgumentParser) -> None:
        of.add_argument("--json", action="store_true", help="print JSON, for programs")

    def clip(of: argparse.ArgumentParser) -> None:
        of.add_argument("--clip", action="store_true", help="cut off actions beyond the range instead of refusing them")

    ls = tool("ls", commands.ls, "list episodes: outcome, steps, takeovers, share of the operator, adapter, losses")
    paths(ls), json(ls)

    show = tool("show", commands.show, "tell everything about episodes but the arrays")
    paths(show), json(show), _label_rule(show)

    validate = tool(
        "validate",
        commands.validate,
        "check episode files",
        "Schema, checksums, finite values, ranges of the contract, rising stamps, labels that agree with who drove, "
        "and that every frame can be read. Exit status 2 if a file has a fault.",
    )
    paths(validate), json(validate)
    validate.add_argument("--no-images", action="store_true", help="leave the frames and checksums out: much faster")

    recover = tool(
        "recover",
        commands.recover,
        "make episodes of what a crash left",
        "A recording that was cut off (crash, kill -9, power) becomes an UNLABELED episode with every whole step. One "
        "that is going on is left alone.",
    )
    recover.add_argument(
        "paths", nargs="+", metavar="PATH", help="episode folders, or journals (<episode_dir>/.partial/<id>.journal)"
    )

    relabel = tool(
        "relabel",
        commands.relabel,
        "derive the labels under another rule",
        "Labels are derived from recorded facts and are not part of an episode file, which stays as it is. Prints "
        "the steps of each label; --output keeps them, bound to the files by hashes, for programs that derive none.",
    )
    paths(relabel), _label_rule(relabel)
    relabel.add_argument("--output", metavar="FILE", help="label file to be made (JSON)")

    split = tool(
        "split",
        commands.split,
        "deal a data set out to parts, or cut one recording",
        "With --part the episodes are dealt out by chance to folders within --output; with --at one becomes several.",
    )
    paths(split)
    split.add_argument("--output", required=True, metavar="FOLDER", help="folder to be made")
    how = split.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--part", action="append", metavar="NAME=SHARE", help="a part and its share, e.g. valid=0.1; repeat"
    )
    how.add_argument("--at", nargs="+", type=int, metavar="STEP", help="steps at which a new episode begins")
    split.add_argument("--seed", type=int, default=0, help="of the draw; the same one gives the same parts (default 0)")
    _link(split)

    merge = tool(
        "merge",
        commands.merge,
        "put data sets together in one folder",
        "They must be of one contract, and no episode may be there twice.",
    )
    paths(merge)
    merge.add_argument("--output", required=True, metavar="FOLDER", help="folder to be made")
    _link(merge)

    filter_ = tool(
        "filter",
        commands.filter_,
        "select episodes",
        "Every option given must hold; an option with several values holds for any of them. Prints the files, or puts "
        "them into --output.",
    )
    paths(filter_)
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
    _link(filter_)

    view = tool(
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
    _label_rule(view)

    stats = tool(
        "stats",
        commands.stats,
        "compute normalisation statistics of actions and state",
        "q01, q99, mean, standard deviation, min and max of each dimension; --json prints what a checkpoint's "
        "dataset_statistics.json holds, and more.",
    )
    paths(stats), json(stats)
    stats.add_argument(
        "--actions",
        choices=("executed", "policy", "human"),
        default="executed",
        help="which actions (default executed; a base policy is trained on human)",
    )

    _export(tool)
    _import(tool)
    return root


def _label_rule(of: argparse.ArgumentParser) -> None:
    rule = LabelRule()
    of.add_argument(
        "--undesirable-steps",
        type=int,
        default=rule.undesirable_steps,
        metavar="K",
        help=f"policy steps before a takeover that are undesirable (default {rule.undesirable_steps})",
    )
    of.add_argument(
        "--undesirable-seconds", type=float, default=0.0, metavar="S", help="K in seconds; above 0 it replaces K"
    )
    of.add_argument(
        "--failure-rule",
        choices=FAILURE_RULES,
        default=rule.failure_rule,
        help=f"a failed episode without takeover (default {rule.failure_rule})",
    )


def _link(of: argparse.ArgumentParser) -> None:
    of.add_argument("--link", action="store_true", help="hard links instead of copies (one file system only)")


def _export(tool) -> None:
    export = tool("export", commands.export, "write episodes in the format of another tool", "docs/episode_tools.md.")
    formats = export.add_subparsers(dest="format", required=True, metavar="FORMAT")

    def made(name: str, text: str, output: str) -> argparse.ArgumentParser:
        one = formats.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        one.add_argument("paths", nargs="+", metavar="PATH", help=_PATHS)
        one.add_argument("--output", required=True, metavar=output, help=f"{output.lower()} to be made")
        return one

    robomimic = made("robomimic", "one robomimic 0.3 HDF5 file with masks, action_modes and intv_labels", "FILE")
    robomimic.add_argument("--no-next-obs", action="store_true", help="half the size; set hdf5_load_next_obs to false")
    robomimic.add_argument(
        "--valid-share", type=float, default=0.1, help="of the episodes, for mask/valid (default 0.1)"
    )
    robomimic.add_argument("--seed", type=int, default=0, help="of that draw (default 0)")
    robomimic.add_argument("--env-args", metavar="JSON", help="environment, as text or the name of a JSON file")
    robomimic.add_argument("--clip", action="store_true", help="cut off actions beyond the contract")
    _label_rule(robomimic)

    lerobot = made("lerobot", "a LeRobotDataset v3.0: parquet, MP4, meta (needs requirements/export.in)", "FOLDER")
    lerobot.add_argument("--images", choices=("video", "png"), default="video", help="MP4, or lossless in the parquet")
    lerobot.add_argument("--robot-type", default="", help="for info.json")
    lerobot.add_argument("--data-mb", type=int, default=100, help="size of a parquet file (default 100)")
    lerobot.add_argument("--video-mb", type=int, default=200, help="size of an MP4 file (default 200)")
    _label_rule(lerobot)

    apo = made("apo", "the layout of the released APO code: timestep_<i>/{action, third_obs, is_human}", "FOLDER")
    apo.add_argument("--camera", default="", help="of third_obs (default the first of the contract)")
    apo.add_argument("--size", type=int, default=224, help="side of third_obs in pixels; 0: as recorded (default 224)")
    apo.add_argument("--clip", action="store_true", help="cut off actions beyond the contract")

    mcap = made("mcap", "rosbag2 bags in MCAP storage for `ros2 bag play` (needs requirements/export.in)", "FOLDER")
    mcap.add_argument("--command-definition", metavar="FILE", help="ActionCommand.msg (default the workspace's)")


def _import(tool) -> None:
    bring = tool(
        "import",
        commands.import_,
        "make episodes of demonstrations in robomimic or robosuite files",
        "OSC_POSE deltas in [-1, 1] become velocities: value x largest step x control rate. A state key is made of "
        "observation keys: joined by commas, key[i], key[i:j], or a difference, e.g. "
        "--state gripper_width='robot0_gripper_qpos[0]-robot0_gripper_qpos[1]'.",
    )
    bring.add_argument("path", metavar="FILE", help="HDF5 file with /data/demo_<i>/{actions, obs}")
    bring.add_argument("--output", required=True, metavar="FOLDER", help="folder to be made")
    bring.add_argument("--instruction", required=True, help="what the robot is told, e.g. 'lift the red cube'")
    bring.add_argument("--contract", default="config/contract.yaml", help="(default config/contract.yaml)")
    bring.add_argument("--state", action="append", default=[], metavar="KEY=MAPPING", help="repeat")
    bring.add_argument(
        "--camera", action="append", default=[], metavar="NAME=KEY", help="(default <name>_image); repeat"
    )
    bring.add_argument("--task", default="", help="(default the file's env_name)")
    bring.add_argument("--operator", default="demonstrator", help="who drove")
    bring.add_argument("--mask", default="", help="only the demonstrations of this filter key")
    bring.add_argument("--prefix", default="", help="of the episode ids (default the file's name)")
    bring.add_argument(
        "--position-step", type=float, metavar="M", help="that 1 stands for (default the file's, or 0.05)"
    )
    bring.add_argument(
        "--rotation-step", type=float, metavar="RAD", help="that 1 stands for (default the file's, or 0.5)"
    )
    bring.add_argument("--control-rate", type=float, metavar="HZ", help="(default the file's, or 20)")
    bring.add_argument(
        "--ee-rotation",
        type=float,
        nargs=4,
        default=(0.0, 0.0, 0.0, 1.0),
        metavar=("X", "Y", "Z", "W"),
        help="quaternion that turns the file's end-effector frame into the contract's (docs/episode_tools.md)",
    )
    bring.add_argument("--gripper-sign", type=int, choices=(1, -1), default=1, help="-1: the file closes at -1")
    bring.add_argument("--flip", action="store_true", help="turn images upside down (robosuite's own collector)")
    bring.add_argument("--resize", action="store_true", help="scale images to the contract's size")
    bring.add_argument("--clip", action="store_true", help="cut off actions beyond [-1, 1] instead of refusing them")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a tool; an error goes to stderr and the exit status is 2."""
    return run_tool(parser(), argv)
