"""The arguments of `apo episodes export` and `import`: the formats of other tools."""

from __future__ import annotations

import argparse

from apo_core.system.command_line import ToolParser, number
from apo_episodes.cli import commands
from apo_episodes.cli.options import label_rule, output_folder, paths


def add_export(tools: ToolParser) -> None:
    """`apo episodes export FORMAT`."""
    export = tools.add(
        "export", commands.export, "write episodes in the format of another tool", "docs/how-to/episode_tools.md."
    )
    formats = export.add_subparsers(dest="format", required=True, metavar="FORMAT")

    def made(name: str, text: str, output: str) -> argparse.ArgumentParser:
        one = formats.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        paths(one)
        one.add_argument("--output", required=True, metavar=output, help=f"{output.lower()} to be made")
        return one

    robomimic = made("robomimic", "one robomimic 0.3 HDF5 file with masks, action_modes and intv_labels", "FILE")
    robomimic.add_argument("--no-next-obs", action="store_true", help="half the size; set hdf5_load_next_obs to false")
    robomimic.add_argument(
        "--valid-share", type=number(float, 0, 1), default=0.1, help="of the episodes, for mask/valid (default 0.1)"
    )
    robomimic.add_argument("--seed", type=number(int, 0), default=0, help="of that draw (default 0)")
    robomimic.add_argument("--env-args", metavar="JSON", help="environment, as text or the name of a JSON file")
    robomimic.add_argument("--clip", action="store_true", help="cut off actions beyond the contract")
    label_rule(robomimic)

    lerobot = made("lerobot", "a LeRobotDataset v3.0: parquet, MP4, meta (needs requirements/export.in)", "FOLDER")
    lerobot.add_argument("--images", choices=("video", "png"), default="video", help="MP4, or lossless in the parquet")
    lerobot.add_argument("--robot-type", default="", help="for info.json")
    lerobot.add_argument("--data-mb", type=number(int, 1), default=100, help="size of a parquet file (default 100)")
    lerobot.add_argument("--video-mb", type=number(int, 1), default=200, help="size of an MP4 file (default 200)")
    label_rule(lerobot)

    apo = made("apo", "the layout of the released APO code: timestep_<i>/{action, third_obs, is_human}", "FOLDER")
    apo.add_argument("--camera", default="", help="of third_obs (default the first of the contract)")
    apo.add_argument(
        "--size",
        type=number(int, 0, 4096),
        default=224,
        help="side of third_obs in pixels; 0: as recorded (default 224)",
    )
    apo.add_argument("--clip", action="store_true", help="cut off actions beyond the contract")

    mcap = made("mcap", "rosbag2 bags in MCAP storage for `ros2 bag play` (needs requirements/export.in)", "FOLDER")
    mcap.add_argument("--command-definition", metavar="FILE", help="ActionCommand.msg (default the workspace's)")


def add_import(tools: ToolParser) -> None:
    """`apo episodes import`."""
    bring = tools.add(
        "import",
        commands.import_,
        "make episodes of demonstrations in robomimic or robosuite files",
        "OSC_POSE deltas in [-1, 1] become velocities: value x largest step x control rate. A state key is made of "
        "observation keys: joined by commas, key[i], key[i:j], or a difference, e.g. "
        "--state gripper_width='robot0_gripper_qpos[0]-robot0_gripper_qpos[1]'.",
    )
    bring.add_argument("path", metavar="FILE", help="HDF5 file with /data/demo_<i>/{actions, obs}")
    output_folder(bring)
    bring.add_argument("--instruction", required=True, help="the task in words, e.g. 'lift the red cube'")
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
        "--position-step", type=number(float, 1e-6), metavar="M", help="that 1 stands for (default the file's, or 0.05)"
    )
    bring.add_argument(
        "--rotation-step",
        type=number(float, 1e-6),
        metavar="RAD",
        help="that 1 stands for (default the file's, or 0.5)",
    )
    bring.add_argument("--control-rate", type=number(float, 1e-3), metavar="HZ", help="(default the file's, or 20)")
    bring.add_argument(
        "--ee-rotation",
        type=float,
        nargs=4,
        default=(0.0, 0.0, 0.0, 1.0),
        metavar=("X", "Y", "Z", "W"),
        help="quaternion that turns the file's end-effector frame into the contract's (docs/how-to/episode_tools.md)",
    )
    bring.add_argument("--gripper-sign", type=int, choices=(1, -1), default=1, help="-1: the file closes at -1")
    bring.add_argument("--flip", action="store_true", help="turn images upside down (robosuite's own collector)")
    bring.add_argument("--resize", action="store_true", help="scale images to the contract's size")
    bring.add_argument("--clip", action="store_true", help="cut off actions beyond [-1, 1] instead of refusing them")
