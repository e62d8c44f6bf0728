"""`apo`: the command line. One table of commands; a command runs here, or is a program of another package."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from apo_bringup.stack import nodes
from apo_bringup.stack.arms import arm_set
from apo_bringup.stack.options import OPTIONS, check_contract, chosen_paths, is_lockstep, start_parameters
from apo_core.config import parameters as configuration
from apo_core.errors import ApoError, ConfigError
from apo_core.ros.environment import check_environment
from apo_core.tasks.specs import task_spec


def _add_demo_options(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--quick", action="store_true", help="a short run (config/session_quick.yaml)")
    demo.add_argument(
        "--staged",
        action="store_true",
        help="staged promotion of good and bad adapters instead (apo staged-study); takes --config, --set and --output",
    )
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
    demo.add_argument(
        "--expert-dir",
        help="expert demonstrations (default data/expert/<task>, with a hash if perturbed; made when missing)",
    )
    demo.add_argument(
        "--mode",
        choices=("lockstep", "realtime"),
        default="lockstep",
        help="lockstep: simulated time waits for each command",
    )
    demo.add_argument("--checkpoint", help="folder of the base policy (default models/<task>_base)")


def _demo(arguments: argparse.Namespace) -> int:
    from apo_bringup.demo import run_demo
    from apo_bringup.session.plan import SessionConfig

    if arguments.staged:
        return _staged_demo(arguments)
    shipped = "session_quick.yaml" if arguments.quick else "session.yaml"
    file = Path(arguments.config or nodes.share_dir() / "config" / shipped)
    config = configuration.load(SessionConfig, file, "session", configuration.parse_overrides(arguments.set))
    spec = task_spec(config.task)
    config = dataclasses.replace(config, instruction=config.instruction or spec.instruction)
    run_dir = Path(arguments.output or Path("runs") / time.strftime("%Y%m%d_%H%M%S"))
    expert_dir = Path(arguments.expert_dir or f"{spec.expert_dir}{config.perturbation.still.suffix}")
    if run_dir.exists():
        raise ConfigError("apo demo", [f"--output {run_dir} exists already: name a new folder"])
    checkpoint = Path(arguments.checkpoint).resolve() if arguments.checkpoint else nodes.base_policy_dir(config.task)
    config_file = arguments.config or f"config/{shipped}"
    return run_demo(config, run_dir.resolve(), expert_dir.resolve(), arguments.mode, checkpoint, config_file)


def _staged_demo(arguments: argparse.Namespace) -> int:
    """The study of staged promotion with its shipped parameters."""
    foreign = {"--quick": arguments.quick, "--expert-dir": arguments.expert_dir, "--checkpoint": arguments.checkpoint}
    if given := [name for name, value in foreign.items() if value]:
        raise ConfigError("apo demo", [f"--staged takes no {', '.join(given)}"])
    words = [
        word for name in ("config", "output") if (value := getattr(arguments, name)) for word in (f"--{name}", value)
    ]
    settings = ["--set", *arguments.set] if arguments.set else []
    return int(importlib.import_module(COMMANDS["staged-study"].program).main([*words, *settings]))


def _add_up_options(up: argparse.ArgumentParser, *, with_nodes: bool = True) -> None:
    if with_nodes:
        every = ", ".join(entry.name for entry in nodes.NODES)
        up.add_argument("nodes", nargs="*", help=f"which nodes (default all): {every}")
    up.add_argument("--sim", action="store_true", help="with the simulation, on simulated time")
    for option in OPTIONS:
        if option.flag:
            up.add_argument(
                f"--{option.flag}",
                dest=option.name,
                default=option.default,
                choices=option.choices or None,
                help=option.description + (f" (default {option.default})" if option.default else ""),
            )


def _up(arguments: argparse.Namespace) -> int:
    from apo_bringup.stack.supervision import Program, run_in_foreground
    from apo_core.system.terminal import kept_terminal

    data_dir = Path(arguments.data_dir).resolve()
    wanted = arguments.nodes or [e.name for e in nodes.NODES if arguments.sim or not e.is_simulation]
    known = nodes.names()
    faults = [f"no node {name!r}; the nodes are {', '.join(known)}" for name in wanted if name not in known]
    if faults:
        raise ConfigError("apo up", faults)
    arm, namespace = arm_set(arguments.arm, sim=arguments.sim), arguments.namespace
    entries = arm.companions([nodes.node(name) for name in wanted], namespace)
    robot = arguments.robot or arm.contract
    params_files = [file for file in (arm.parameters, arguments.params_file) if file]
    check_contract(entries, robot, arguments.params_file, namespace, sim=arguments.sim)
    given = {"checkpoint_dir": arguments.checkpoint_dir, "expert_dir": arguments.expert_dir}
    paths = chosen_paths(data_dir, {"contract_file": robot, **given})
    lockstep = is_lockstep(entries, arguments.mode, sim=arguments.sim)
    settings = configuration.parse_overrides(getattr(arguments, "set", []))
    made = []
    for entry in entries:
        nodes.check_settings(entry, settings)
        parameters = start_parameters(
            entry,
            paths,
            sim=arguments.sim,
            use_sim_time=arguments.sim,
            device=arguments.operator,
            urdf=arm.urdf,
            lockstep=lockstep,
        )
        parameters |= settings
        if parameters.get("device") == "keyboard":
            if not sys.stdin.isatty():
                raise ConfigError("apo up", ["--operator keyboard needs a terminal to read keys from"])
            # nodes run in a session of their own, which has no terminal
            parameters["keyboard_terminal"] = os.ttyname(sys.stdin.fileno())
        command = nodes.command_line(entry, parameters, namespace=namespace, params_files=params_files)
        made.append(Program(entry.name, command, nodes.environment_for_node(entry)))
    for name in nodes.foreign_sections(arguments.params_file) if arguments.params_file else ():
        print(f"apo up: {arguments.params_file}: section {name!r} is for no node of apo", file=sys.stderr)
    with kept_terminal(sys.stdin):
        return run_in_foreground(made, data_dir / "log")


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    _add_up_options(parser, with_nodes=False)
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the node, those of its file in config/",
    )


def _one_node(name: str, arguments: argparse.Namespace) -> int:
    arguments.nodes = [name]
    return _up(arguments)


def _add_operator_options(operator: argparse.ArgumentParser) -> None:
    operator.add_argument("--namespace", default="", help="ROS namespace of the nodes")
    for name, what in (("task", "task"), ("instruction", "instruction"), ("operator-name", "operator's name")):
        text = f"{what} of the episodes that it starts (default: the recorder's)"
        operator.add_argument(f"--{name}", default="", help=text)


def _operator(arguments: argparse.Namespace) -> int:
    from apo_bringup.console.operator_node import operate
    from apo_core.ros.environment import transport_environment

    os.environ.update(transport_environment(os.environ, has_images=False))
    start = {name: getattr(arguments, name) for name in ("task", "instruction", "operator_name")}
    return operate(arguments.namespace, start)


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A subcommand that runs here, or a program whose `main` takes the arguments after its name."""

    help: str
    program: str = ""  # module with `main(argv) -> int`, imported when the command runs
    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    run: Callable[[argparse.Namespace], int] | None = None


COMMANDS = {
    "demo": Command("the whole loop in simulation, with a report", add_options=_add_demo_options, run=_demo),
    "up": Command(
        "start the nodes and keep them running (as `ros2 launch` does)", add_options=_add_up_options, run=_up
    ),
    "console": Command(
        "the operator's console in the browser, alone (`up` starts it with the other nodes)",
        add_options=_add_node_options,
        run=partial(_one_node, "console"),
    ),
    "foxglove": Command(
        "the topics for Foxglove, beside `up`; needs foxglove-sdk (requirements/view.in)",
        add_options=_add_node_options,
        run=partial(_one_node, "foxglove"),
    ),
    "rerun": Command(
        "the topics for the rerun viewer, beside `up`; needs rerun-sdk (requirements/view.in)",
        add_options=_add_node_options,
        run=partial(_one_node, "rerun"),
    ),
    "operator": Command(
        "the operator's console in the terminal (beside `up`): state of the stack, keys",
        add_options=_add_operator_options,
        run=_operator,
    ),
    "base-policy": Command(
        "make a base policy from scripted-expert demonstrations", "apo_experiments.base_policy.base_policy"
    ),
    "collect": Command(
        "record episodes of a policy with the scripted operator in simulation, without ROS",
        "apo_experiments.loop.collect",
    ),
    "reproduce": Command(
        "the paper's experiments in simulation: collect, train every method, measure, report",
        "apo_experiments.reproduce.reproduce",
    ),
    "staged-study": Command(
        "whether staged promotion promotes a good adapter and rolls back bad ones, in simulation",
        "apo_experiments.staged.staged_study",
    ),
    "train": Command("train an adapter from episode files, without ROS", "apo_trainer.train"),
    "compare": Command(
        "train each method from the same episodes and measure all on the same seeds", "apo_experiments.compare.compare"
    ),
    "evaluate": Command(
        "measure a policy alone on seeds of the simulation, base policy or adapter", "apo_experiments.evaluate"
    ),
    "expert": Command("measure the scripted expert of a task in simulation", "apo_experiments.expert"),
    "chaos": Command(
        "the stack in simulation under a seeded schedule of faults, with a report of what held",
        "apo_bringup.chaos.chaos",
    ),
    "sessions": Command("the reports of several demo runs as one table", "apo_bringup.session.summary"),
    "policy": Command(
        "describe a policy's checkpoint and its needs; bind a published one to a robot", "apo_vla.cli.cli"
    ),
    "episodes": Command(
        "list, check, select, cut, show, measure, export and import episode files", "apo_episodes.cli.cli"
    ),
    "adapters": Command(
        "list, check, promote, roll back, sign, remove, export, push and pull adapters",
        "apo_core.adapters.cli.cli",
    ),
    "help": Command("learn from episodes when a policy should ask for help", "apo_trainer.help.cli"),
}


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo`; programs parse their own arguments, `--help` included."""
    root = argparse.ArgumentParser(prog="apo", description="Deploy a policy, take over, record, train, hot-reload.")
    subparsers = root.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        made = subparsers.add_parser(name, help=command.help, add_help=not command.program)
        if command.add_options is not None:
            command.add_options(made)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand; errors of apo and of files go to stderr with exit status 2, Ctrl-C ends with 130."""
    arguments, rest = parser().parse_known_args(argv)
    command = COMMANDS[arguments.command]
    if rest and not command.program:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        check_environment(os.environ)
        if command.run is not None:
            return command.run(arguments) or 0
        return importlib.import_module(command.program).main(rest) or 0
    except (ApoError, OSError) as error:
        print(f"apo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("apo: interrupted", file=sys.stderr)
        return 130
