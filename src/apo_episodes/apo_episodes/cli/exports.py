"""`apo episodes export FORMAT`: the table of formats, and what each takes and writes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apo_core.errors import EpisodeToolError
from apo_core.system.command_line import ToolParser, number
from apo_episodes.cli.options import episodes_of, label_rule, paths, rule_of
from apo_episodes.episode import Episode
from apo_episodes.formats.lerobot.export import LeRobotOptions, export_lerobot
from apo_episodes.formats.mcap.export import export_mcap
from apo_episodes.formats.released_apo import ApoOptions, export_apo
from apo_episodes.formats.robomimic.export import RobomimicOptions, export_robomimic


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format of another tool."""

    name: str
    description: str
    output: str  # FILE or FOLDER
    add_arguments: Callable[[argparse.ArgumentParser], None]
    export: Callable[[Sequence[Episode], Path, argparse.Namespace], Iterable[object]]  # -> lines to print


def add_export(tools: ToolParser) -> None:
    """Adds the command with a parser for each format."""
    export = tools.add(
        "export", _export, "write episodes in the format of another tool", "docs/how-to/episode_tools.md."
    )
    formats = export.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for row in FORMATS:
        text = row.description
        parser = formats.add_parser(row.name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        paths(parser)
        parser.add_argument("--output", required=True, metavar=row.output, help=f"{row.output.lower()} to be made")
        row.add_arguments(parser)
        parser.set_defaults(export=row.export)


def _export(arguments: argparse.Namespace) -> int:
    for line in arguments.export(episodes_of(arguments), Path(arguments.output), arguments):
        print(line)
    return 0


def _robomimic_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-next-obs", action="store_true", help="half the size; set hdf5_load_next_obs to false")
    parser.add_argument(
        "--valid-share", type=number(float, 0, 1), default=0.1, help="of the episodes, for mask/valid (default 0.1)"
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of that draw (default 0)")
    parser.add_argument("--env-args", metavar="JSON", help="environment, as text or the name of a JSON file")
    parser.add_argument("--clip", action="store_true", help="cut off actions beyond the contract")
    label_rule(parser)


def _robomimic(episodes: Sequence[Episode], target: Path, arguments: argparse.Namespace) -> Iterable[object]:
    options = RobomimicOptions(
        rule=rule_of(arguments),
        next_obs=not arguments.no_next_obs,
        valid_share=arguments.valid_share,
        seed=arguments.seed,
        clip=arguments.clip,
        env_args=_json_argument(arguments.env_args) if arguments.env_args else None,
    )
    return [f"{target}  {len(episodes)} demonstrations, {export_robomimic(episodes, target, options)} transitions"]


def _lerobot_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", choices=("video", "png"), default="video", help="MP4, or lossless in the parquet")
    parser.add_argument("--robot-type", default="", help="for info.json")
    parser.add_argument("--data-mb", type=number(int, 1), default=100, help="size of a parquet file (default 100)")
    parser.add_argument("--video-mb", type=number(int, 1), default=200, help="size of an MP4 file (default 200)")
    label_rule(parser)


def _lerobot(episodes: Sequence[Episode], target: Path, arguments: argparse.Namespace) -> Iterable[object]:
    options = LeRobotOptions(
        rule_of(arguments), arguments.images, arguments.robot_type, arguments.data_mb, arguments.video_mb
    )
    return [f"{target}  {len(episodes)} episodes, {export_lerobot(episodes, target, options)} frames"]


def _apo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--camera", default="", help="of third_obs (default the first of the contract)")
    parser.add_argument(
        "--size",
        type=number(int, 0, 4096),
        default=224,
        help="side of third_obs in pixels; 0: as recorded (default 224)",
    )
    parser.add_argument("--clip", action="store_true", help="cut off actions beyond the contract")


def _apo(episodes: Sequence[Episode], target: Path, arguments: argparse.Namespace) -> Iterable[object]:
    return export_apo(episodes, target, ApoOptions(arguments.camera, arguments.size, arguments.clip))


def _mcap_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--command-definition", metavar="FILE", help="ActionCommand.msg (default the workspace's)")


def _mcap(episodes: Sequence[Episode], target: Path, arguments: argparse.Namespace) -> Iterable[object]:
    definition = Path(arguments.command_definition) if arguments.command_definition else None
    return export_mcap(episodes, target, definition)


def _json_argument(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise EpisodeToolError(f"--env-args {text}: neither JSON nor a file with it ({error})") from None
    if not isinstance(value, dict):
        raise EpisodeToolError(f"--env-args {text}: must be a JSON object")
    return value


FORMATS = (
    ExportFormat(
        "robomimic",
        "one robomimic 0.3 HDF5 file with masks, action_modes and intv_labels",
        "FILE",
        _robomimic_arguments,
        _robomimic,
    ),
    ExportFormat(
        "lerobot",
        "a LeRobotDataset v3.0: parquet, MP4, meta (needs requirements/export.in)",
        "FOLDER",
        _lerobot_arguments,
        _lerobot,
    ),
    ExportFormat(
        "apo",
        "the layout of the released APO code: timestep_<i>/{action, third_obs, is_human}",
        "FOLDER",
        _apo_arguments,
        _apo,
    ),
    ExportFormat(
        "mcap",
        "rosbag2 bags in MCAP storage for `ros2 bag play` (needs requirements/export.in)",
        "FOLDER",
        _mcap_arguments,
        _mcap,
    ),
)
