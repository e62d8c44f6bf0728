"""`apo chaos`: the stack in simulation under a seeded schedule of faults; a report, status 1 on a violation."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from apo_bringup.chaos.faults import Surroundings
from apo_bringup.chaos.invariants import Invariants
from apo_bringup.chaos.machine import disk, network
from apo_bringup.chaos.report import RunRecord, format_report
from apo_bringup.chaos.runner import Runner
from apo_bringup.chaos.schedule import KINDS, MACHINES, PlannedFault, chosen_kinds, make_schedule
from apo_bringup.chaos.stack_runner import StackRunner
from apo_bringup.stack import nodes
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.system.command_line import number

_ROBOT = "robot"  # the machine of simulation, operator and recorder


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    names = ", ".join(kind.name for kind in KINDS)
    made = argparse.ArgumentParser(
        prog="apo chaos", description="The whole stack in simulation under a seeded schedule of faults."
    )
    made.add_argument("--faults", type=number(int, 1), default=100, help="how many (default 100)")
    made.add_argument("--seed", type=number(int, 0), default=0, help="of the schedule (default 0)")
    made.add_argument(
        "--duration", type=number(float, 1.0), default=0.0, help="s that the run takes; faults are repeated or cut"
    )
    made.add_argument("--only", nargs="+", default=[], metavar="FAULT", help=f"these faults: {names}")
    made.add_argument("--without", nargs="+", default=[], metavar="FAULT", help="all faults but these")
    made.add_argument("--output", help="run folder (default runs/chaos_<time>)")
    made.add_argument("--one-machine", action="store_true", help="no network namespaces, even where they are possible")
    made.add_argument("--no-disk", action="store_true", help="no disk of its own, even where it is possible")
    made.add_argument("--list", action="store_true", help="print the schedule and end")
    made.add_argument("--recovery-s", type=number(float, 1.0), default=60.0, help="s in which the loop must go on")
    made.add_argument("--start-s", type=number(float, 1.0), default=180.0, help="s that the start may take")
    made.add_argument("--warmup-s", type=number(float, 0.0), default=600.0, help="s of a node not judged for memory")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 when nothing was violated, else 1."""
    arguments = parser().parse_args(argv)
    lacking = {
        "machines": "not wanted (--one-machine)" if arguments.one_machine else network.missing(),
        "disk": "not wanted (--no-disk)" if arguments.no_disk else disk.missing(),
    }
    available = [name for name, what in lacking.items() if not what]
    try:
        kinds = chosen_kinds(arguments.only, arguments.without, available)
    except ValueError as error:
        raise ConfigError("apo chaos", [str(error)]) from None
    count = arguments.faults if not arguments.duration else max(arguments.faults, round(arguments.duration))
    schedule = make_schedule(arguments.seed, count, kinds)
    chosen = [kind for kind in KINDS if kind.name not in arguments.without]
    skipped = {
        kind.name: lacking[kind.needs]
        for kind in chosen
        if kind.needs and lacking[kind.needs] and (not arguments.only or kind.name in arguments.only)
    }
    if arguments.list:
        print("\n".join(f"{fault.index:>4} {fault.text}" for fault in schedule))
        return 0
    output = Path(arguments.output or Path("runs") / time.strftime("chaos_%Y%m%d_%H%M%S")).resolve()
    if output.exists():
        raise ConfigError("apo chaos", [f"--output {output} exists already: name a new folder"])
    needs = {kind.needs for kind in kinds}
    return _run(arguments, schedule, skipped, output, with_disk="disk" in needs, with_network="machines" in needs)


def _run(
    arguments: argparse.Namespace,
    schedule: Sequence[PlannedFault],
    skipped: dict[str, str],
    output: Path,
    *,
    with_disk: bool,
    with_network: bool,
) -> int:
    output.mkdir(parents=True)
    print(f"run folder: {output}", flush=True)
    for name, what in skipped.items():
        print(f"skipped: {name}: needs {what}", flush=True)
    stops: list[int] = []
    for received in (signal.SIGINT, signal.SIGTERM):
        signal.signal(received, lambda number, _: stops.append(number))
    record = RunRecord(arguments.seed, arguments.warmup_s, skipped)
    net = network.Network((*MACHINES, _ROBOT), arguments.seed) if with_network else None
    episodes = disk.Disk(output / "disk.img", output / "data" / "episodes") if with_disk else None
    environment, machines = dict(os.environ), {}
    if net is not None:
        profile = output / "fastdds.xml"
        # without shared memory, which namespaces have in common; of another name, so that no node takes one with it
        shutil.copyfile(nodes.share_dir() / "config" / "fastdds_network_udp.xml", profile)
        environment |= {
            name: str(profile) for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
        }
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
        machines = {e.name: net.command(e.name if e.name in MACHINES else _ROBOT) for e in nodes.NODES}
    stack = StackRunner(output, machines, environment)
    around = Surroundings(stack, episodes, net, output / "code_of_an_adapter_ran")
    contract = load_contract(nodes.default_paths(output)["contract_file"])

    def note(text: str) -> None:
        print(text, flush=True)

    runner = Runner(around, Invariants(contract), record, arguments.recovery_s, note, lambda: bool(stops))
    until_s = time.monotonic() + arguments.duration if arguments.duration else math.inf
    try:
        if net is not None:
            net.start()
        if episodes is not None:
            episodes.mount()
        runner.run(schedule, arguments.start_s, until_s)
    finally:
        if net is not None:
            net.close()
        if episodes is not None:
            episodes.unmount()
    if stops:
        record.stopped = record.stopped or f"{signal.Signals(stops[0]).name} received"
    report = record.as_dict()
    (output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(format_report(report), flush=True)
    return 1 if record.failed else 0


if __name__ == "__main__":
    sys.exit(main())
