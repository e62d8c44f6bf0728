"""`apo`: the command line, one subcommand a job."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from apo_bringup.stack import nodes
from apo_core.config import parameters as configuration
from apo_core.errors import ApoError, ConfigError
from apo_core.tasks.specs import TASKS

_WITH_PARSER = ("base-policy", "train", "compare", "evaluate", "sessions", "policy", "episodes", "adapters")
_DEVICES = ("auto", "spacemouse", "joy", "keyboard", "scripted", "none")


def _demo(arguments: argparse.Namespace) -> int:
    from apo_bringup.demo import run_demo
    from apo_bringup.session.plan import SessionConfig

    shipped = "session_quick.yaml" if arguments.quick else "session.yaml"
    file = Path(arguments.config or nodes.share_dir() / "config" / shipped)
    config = configuration.load(SessionConfig, file, "session", configuration.parse_overrides(arguments.set))
    config = dataclasses.replace(config, instruction=config.instruction or TASKS[config.task].instruction)
    run_dir = Path(arguments.output or Path("runs") / time.strftime("%Y%m%d_%H%M%S"))
    expert_dir = Path(arguments.expert_dir or Path("data") / "expert" / TASKS[config.task].folder)
    if run_dir.exists():
        raise ConfigError("apo demo", [f"--output {run_dir} exists already: name a new folder"])
    checkpoint = Path(arguments.checkpoint).resolve() if arguments.checkpoint else None
    config_file = arguments.config or f"config/{shipped}"
    return run_demo(config, run_dir.resolve(), expert_dir.resolve(), arguments.mode, checkpoint, config_file)


def _up(arguments: argparse.Namespace) -> int:
    from apo_bringup.console.display import kept_terminal
    from apo_bringup.stack.supervision import Program, run_in_foreground

    data_dir = Path(arguments.data_dir).resolve()
    wanted = arguments.nodes or [e.name for e in nodes.NODES if arguments.sim or e.group != nodes.SIM]
    unknown = [name for name in wanted if name not in {e.name for e in nodes.NODES}]
    if unknown:
        raise ConfigError(
            "apo up", [f"no node {name!r}; known: {', '.join(e.name for e in nodes.NODES)}" for name in unknown]
        )
    paths = nodes.default_paths(data_dir)
    for name, value in (
        ("contract_file", arguments.robot),
        ("checkpoint_dir", arguments.checkpoint),
        ("expert_dir", arguments.expert_dir),
    ):
        if value:
            paths[name] = str(Path(value).resolve())
    made = []
    for entry in map(nodes.node, wanted):
        parameters: dict[str, object] = {name: paths[name] for name in entry.path_parameters}
        parameters["use_sim_time"] = arguments.sim and entry.group != nodes.SIM
        if arguments.sim:
            parameters |= nodes.SIMULATED.get(entry.name, {})
        if entry.name == "teleop" and arguments.operator:
            parameters["device"] = arguments.operator
            if arguments.operator == "keyboard":
                if not sys.stdin.isatty():
                    raise ConfigError("apo up", ["--operator keyboard needs a terminal to read keys from"])
                # nodes run in a session of their own, which has no terminal
                parameters["keyboard_terminal"] = os.ttyname(sys.stdin.fileno())
        command = nodes.command_line(
            entry, parameters, namespace=arguments.namespace, params_file=arguments.params_file
        )
        made.append(Program(entry.name, command, nodes.environment_for_nodes()))
    for name in nodes.foreign_sections(arguments.params_file) if arguments.params_file else ():
        print(f"apo up: {arguments.params_file}: section {name!r} is for no node of apo", file=sys.stderr)
    with kept_terminal(sys.stdin):
        return run_in_foreground(made, data_dir / "log")


def _operator(arguments: argparse.Namespace) -> int:
    from apo_bringup.console.operator_node import operate

    start = {name: getattr(arguments, name) for name in ("task", "instruction", "operator_name")}
    return operate(arguments.namespace, start)


def _base_policy(arguments: argparse.Namespace) -> int:
    from apo_experiments.base_policy.base_policy import main

    return main(arguments.rest)


def _train(arguments: argparse.Namespace) -> int:
    from apo_trainer.train import main

    return main(arguments.rest)


def _compare(arguments: argparse.Namespace) -> int:
    from apo_experiments.compare.compare import main

    return main(arguments.rest)


def _evaluate(arguments: argparse.Namespace) -> int:
    from apo_experiments.evaluate import main

    return main(arguments.rest)


def _sessions(arguments: argparse.Namespace) -> int:
    from apo_bringup.session.summary import main

    return main(arguments.rest)


def _episodes(arguments: argparse.Namespace) -> int:
    from apo_episodes.cli.cli import main

    return main(arguments.rest)


def _adapters(arguments: argparse.Namespace) -> int:
    from apo_core.adapters.cli.cli import main

    return main(arguments.rest)


def _policy(arguments: argparse.Namespace) -> int:
    from apo_vla.cli.cli import main

    return main(arguments.rest)


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo`."""
    root = argparse.ArgumentParser(prog="apo", description="Deploy a policy, take over, record, train, hot-reload.")
    commands = root.add_subparsers(dest="command", required=True)

    demo = commands.add_parser("demo", help="the whole loop in simulation, with a report")
    demo.add_argument("--quick", action="store_true", help="a short run (config/session_quick.yaml)")
    demo.add_argument("--config", help="session file (default config/session.yaml)")
    demo.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="any parameter of the session file",
    )
    demo.add_argument("--output", help="run folder (default runs/<time>)")
    demo.add_argument("--expert-dir", help="expert demonstrations (default data/expert/<task>; made when missing)")
    demo.add_argument(
        "--mode",
        choices=("lockstep", "realtime"),
        default="lockstep",
        help="lockstep: simulated time waits for each command",
    )
    demo.add_argument("--checkpoint", help="folder of the base policy (default: the shipped one of Lift)")
    demo.set_defaults(run=_demo)

    up = commands.add_parser("up", help="start the nodes and keep them running (as `ros2 launch` does)")
    up.add_argument("nodes", nargs="*", help=f"which nodes (default all): {', '.join(e.name for e in nodes.NODES)}")
    up.add_argument("--sim", action="store_true", help="with the simulation, on simulated time")
    up.add_argument("--operator", choices=_DEVICES, help="operator device (default: that of the parameter files)")
    up.add_argument("--params-file", default="", help="ROS parameter file; wins over config/ and the other options")
    up.add_argument("--namespace", default="", help="ROS namespace of every node")
    up.add_argument("--data-dir", default="runs/live", help="where episodes, adapters and logs go")
    up.add_argument("--robot", default="", help="contract file of the robot (default config/contract.yaml)")
    up.add_argument("--checkpoint", default="", help="folder of the base policy (default: the shipped one of Lift)")
    up.add_argument("--expert-dir", default="data/expert/lift", help="expert demonstrations for the trainer")
    up.set_defaults(run=_up)

    operator = commands.add_parser("operator", help="the operator's console (beside `up`): what goes on, keys")
    operator.add_argument("--namespace", default="", help="ROS namespace of the nodes")
    for name, what in (("task", "task"), ("instruction", "instruction"), ("operator-name", "operator's name")):
        text = f"{what} of the episodes that it starts (default: the recorder's)"
        operator.add_argument(f"--{name}", default="", help=text)
    operator.set_defaults(run=_operator)

    for name, run, text in (
        ("base-policy", _base_policy, "make a base policy from scripted-expert demonstrations"),
        ("train", _train, "train an adapter from episode files, without ROS"),
        ("compare", _compare, "train each method from the same episodes and measure all on the same seeds"),
        ("evaluate", _evaluate, "measure a policy alone on seeds of the simulation, base policy or adapter"),
        ("sessions", _sessions, "the reports of several demo runs as one table"),
        ("policy", _policy, "say what a policy's checkpoint is and needs; bind a published one to a robot"),
        ("episodes", _episodes, "list, check, select, cut, show, measure, export and import episode files"),
        ("adapters", _adapters, "list, check, promote, roll back, sign, remove and export adapters"),
    ):
        command = commands.add_parser(name, help=text, add_help=False)
        command.set_defaults(run=run)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand; errors of apo and of files go to stderr with exit status 2, Ctrl-C ends with 130."""
    arguments, rest = parser().parse_known_args(argv)
    if rest and arguments.command not in _WITH_PARSER:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    try:
        return arguments.run(arguments) or 0
    except (ApoError, OSError) as error:
        print(f"apo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("apo: interrupted", file=sys.stderr)
        return 130
