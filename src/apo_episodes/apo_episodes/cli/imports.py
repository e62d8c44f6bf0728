"""`apo episodes import`: data of other tools as episode files."""

from __future__ import annotations

import argparse
import math
from datetime import UTC, datetime
from pathlib import Path

from apo_core.contract.contract import load_contract
from apo_core.crop import CROPS
from apo_core.errors import EpisodeToolError
from apo_core.system.command_line import ToolParser, number
from apo_episodes.cli.options import output_folder, pairs
from apo_episodes.formats.robomimic.importer import RobomimicImport, import_robomimic


def add_import(tools: ToolParser) -> None:
    """`apo episodes import`."""
    bring = tools.add(
        "import",
        import_,
        "make episodes of robomimic, robosuite or LIBERO files",
        "OSC_POSE deltas in [-1, 1] become velocities: value x largest step x control rate. A state key is made of "
        "observation keys: joined by commas, key[i], key[i:j], a difference, or quaternion(key) of a rotation vector, "
        "e.g. --state gripper_width='robot0_gripper_qpos[0]-robot0_gripper_qpos[1]'.",
    )
    bring.add_argument("path", metavar="FILE", help="HDF5 file with /data/demo_<i>/{actions, obs}")
    output_folder(bring)
    bring.add_argument(
        "--instruction",
        default="",
        help="the task in words, e.g. 'lift the red cube' (default that of a LIBERO file or an export)",
    )
    bring.add_argument("--contract", default="config/contract.yaml", help="(default config/contract.yaml)")
    bring.add_argument("--state", action="append", default=[], metavar="KEY=MAPPING", help="repeat")
    bring.add_argument(
        "--camera", action="append", default=[], metavar="NAME=KEY", help="(default <name>_image, or LIBERO's); repeat"
    )
    bring.add_argument("--task", default="", help="(default the file's env_name)")
    bring.add_argument("--operator", default="", help="who drove (default that of an export, or demonstrator)")
    bring.add_argument(
        "--drivers",
        choices=("file", "expert"),
        default="file",
        help="expert: every step is the expert's, whatever the file states",
    )
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
    bring.add_argument(
        "--gripper-range",
        type=float,
        nargs=2,
        metavar=("OPEN", "CLOSED"),
        help="the file's actions of an open and a closed gripper (default -1 1)",
    )
    bring.add_argument("--flip", action="store_true", help="turn images upside down (robosuite's own collector)")
    bring.add_argument(
        "--orientation",
        action="append",
        default=[],
        metavar="NAME=HOW",
        help="turn a camera's images: none, flip_vertical, mirror or rotate_180 (default of LIBERO the file's); repeat",
    )
    bring.add_argument(
        "--crop",
        action="append",
        default=[],
        metavar="NAME=PART",
        help=f"part of a camera's images before they are turned: {CROPS}; repeat",
    )
    bring.add_argument("--channel-order", choices=("rgb", "bgr"), default="rgb", help="of the file's colour images")
    bring.add_argument("--resize", action="store_true", help="scale images to the contract's size")
    bring.add_argument("--clip", action="store_true", help="cut off actions beyond [-1, 1] instead of rejecting them")


def import_(arguments: argparse.Namespace) -> int:
    """Writes an episode file for each demonstration."""
    if not math.isclose(math.hypot(*arguments.ee_rotation), 1, abs_tol=1e-3):
        raise EpisodeToolError(f"--ee-rotation {arguments.ee_rotation}: a quaternion must be of norm 1")
    options = RobomimicImport(
        instruction=arguments.instruction,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        state=pairs(arguments.state, "--state"),
        cameras=pairs(arguments.camera, "--camera"),
        task=arguments.task,
        operator=arguments.operator,
        mask=arguments.mask,
        prefix=arguments.prefix,
        position_step_m=arguments.position_step,
        rotation_step_rad=arguments.rotation_step,
        control_rate_hz=arguments.control_rate,
        ee_rotation=tuple(arguments.ee_rotation),
        gripper_sign=arguments.gripper_sign,
        gripper_range=arguments.gripper_range and tuple(arguments.gripper_range),
        flip=arguments.flip,
        orientation=pairs(arguments.orientation, "--orientation"),
        crop=pairs(arguments.crop, "--crop"),
        channel_order=arguments.channel_order,
        resize=arguments.resize,
        clip=arguments.clip,
        expert_drivers=arguments.drivers == "expert",
    )
    target = Path(arguments.output)
    written = import_robomimic(Path(arguments.path), target, load_contract(arguments.contract), options)
    print(f"{target}  {len(written)} episodes")
    return 0
