"""`apo policy`: looks into a policy's checkpoint folder, and binds a published one to a robot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from apo_core.config.parameters import parse_overrides
from apo_core.errors import ApoError
from apo_core.tasks.specs import DEFAULT_TASK
from apo_vla.cli.binding import bind
from apo_vla.cli.inspection import DryRun, Inspection, as_json, compare_units, dry_run, inspect
from apo_vla.devices import check_device
from apo_vla.loading import read_deployment, read_family

_DTYPES = ("float32", "bfloat16", "float16")


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo policy`."""
    root = argparse.ArgumentParser(prog="apo policy", description=__doc__.split(": ", 1)[1])
    tools = root.add_subparsers(dest="tool", required=True, metavar="TOOL")

    look = tools.add_parser("inspect", help="report what a checkpoint is and needs, and try it on two images")
    look.add_argument("folder", help="folder of the checkpoint")
    look.add_argument("--device", default="cpu", help="torch device (default cpu)")
    look.add_argument("--dtype", choices=_DTYPES, help="of the weights in memory (default: float32 on a CPU)")
    look.add_argument("--instruction", default=DEFAULT_TASK.instruction, help="instruction of the dry run")
    look.add_argument("--robot", default="config/contract.yaml", help="contract to compare units with (%(default)s)")
    look.add_argument("--no-run", action="store_true", help="leave the dry run out")
    look.add_argument("--json", action="store_true", help="print JSON, for programs")
    look.set_defaults(run=_inspect)

    to_robot = tools.add_parser("bind", help="write deployment.yaml: which robot a published checkpoint drives")
    to_robot.add_argument("folder", help="folder of the checkpoint")
    to_robot.add_argument("--robot", default="config/contract.yaml", help="contract file (default: %(default)s)")
    to_robot.add_argument("--camera", action="append", default=[], help="camera of the contract; once an image")
    to_robot.add_argument("--state", action="append", default=[], help="key or key:form of the contract's state")
    to_robot.add_argument("--chunk", type=int, help="actions predicted from one observation (default 1)")
    to_robot.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="any parameter of deployment.yaml, which names them"
    )
    to_robot.add_argument("--force", action="store_true", help="replace a deployment.yaml that is there")
    to_robot.set_defaults(run=_bind)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand.

    Exit status 2 and a message for an error, 1 for a policy that fails, ignores image or prompt, or whose actions are
    far beyond its contract.
    """
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except ApoError as error:
        print(f"apo policy: {error}", file=sys.stderr)
        return 2


def _inspect(arguments: argparse.Namespace) -> int:
    import torch

    check_device(arguments.device, "--device")
    dtype = getattr(torch, arguments.dtype) if arguments.dtype else None
    found, policy = inspect(Path(arguments.folder), arguments.device, dtype)
    beyond = compare_units(found, policy, Path(arguments.robot))
    run = None if arguments.no_run else dry_run(policy, arguments.instruction)
    print(as_json(found, run) if arguments.json else "\n".join(_lines(found, run)))
    return 1 if beyond or (run and (run.faults or not run.image_matters or run.prompt_matters is False)) else 0


def _bind(arguments: argparse.Namespace) -> int:
    given = {"cameras": tuple(arguments.camera), "state": tuple(arguments.state)}
    chunk = {} if arguments.chunk is None else {"chunk": arguments.chunk}
    choices = {**given, **chunk, **parse_overrides(arguments.set)}
    path, found = bind(Path(arguments.folder), Path(arguments.robot), choices, arguments.force)
    print(f"{path}: check action_scale and action_offset against the units of the training data")
    family = read_family(Path(arguments.folder))
    notes = family.binding_notes(read_deployment(Path(arguments.folder), family))
    for line in (*found.beyond, *found.tiny, *notes):
        print(f"warning: {line}")
    return 0


def _lines(found: Inspection, run: DryRun | None) -> list[str]:
    total = sum(found.parameters.values())
    parts = ", ".join(f"{name} {_count(number)}" for name, number in found.parameters.items())
    memory = ", ".join(f"{_gigabytes(size)} in {name}" for name, size in found.memory_bytes.items())
    chosen = f" (uses {found.chosen_statistics})" if found.chosen_statistics else ""
    rows = [
        ("family", f"{found.family} ({found.architecture})"),
        ("parameters", f"{_count(total)}: {parts}"),
        ("files", f"{_gigabytes(found.file_bytes)} of weights, sha256 {found.base_sha256[:12]}..."),
        ("memory", f"{memory}, for the weights"),
        ("statistics", f"{', '.join(found.statistics) or 'its own'}{chosen}"),
        ("chunk", f"{found.chunk} x {found.action_size} actions, {found.period_s:g} s apart"),
        ("cameras", ", ".join(found.cameras)),
        ("state", ", ".join(found.state) or "none"),
        ("contract", found.contract_sha256[:12] + "..." if found.contract_sha256 else "none"),
    ]
    rows += [("note", note) for note in found.notes]
    if run is not None:
        rows.append(("dry run", f"{run.instruction!r}, {run.seconds * 1000:.0f} ms a prediction"))
        rows += [(f"  image {i + 1}", f"{actions[0]}") for i, actions in enumerate(run.actions) if actions]
        rows += [("  fault", fault) for fault in run.faults]
        verdict = {True: "changes the answer", False: "DOES NOT CHANGE THE ANSWER", None: "not tried: unknown words"}
        rows += [("  image", verdict[run.image_matters]), ("  prompt", verdict[run.prompt_matters])]
    return [f"{name:<11} {text}" for name, text in rows]


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e8 else f"{number / 1e6:.2f} M"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
