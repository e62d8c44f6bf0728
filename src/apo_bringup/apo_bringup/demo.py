"""`apo demo`: the whole loop in simulation, every node its own process, and the report of it."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from apo_bringup.session.conduct import conduct
from apo_bringup.session.plan import SessionConfig
from apo_bringup.session.readiness import expected_subscribers
from apo_bringup.session.report import EpisodeRecord, SessionRecord, build_report, format_table
from apo_bringup.session.stop_watch import Watch
from apo_bringup.stack import nodes
from apo_bringup.stack.options import start_parameters
from apo_bringup.stack.supervision import Program, Supervisor
from apo_core.config import parameters as configuration
from apo_core.contract.contract import load_contract
from apo_core.errors import ApoError
from apo_core.system.terminal import LiveLine
from apo_core.types import Purpose
from apo_episodes.inspection.view import write_contact_sheet, write_video
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_sim_bridge.config import SimBridgeConfig
from apo_trainer.config import read_config
from apo_trainer.states import TrainerState

_VERSIONS = ("torch", "transformers", "peft", "numpy", "h5py", "robosuite", "mujoco", "ros-rclpy")


def programs(config: SessionConfig, run_dir: Path, mode: str, checkpoint_dir: Path) -> list[Program]:
    """Every node of the table, with the parameters of a session."""
    paths = nodes.default_paths(run_dir) | {"checkpoint_dir": str(checkpoint_dir)}
    lockstep = mode == "lockstep"
    # where simulated time waits for the inference, a chunk is used to its end
    replan = {"replan_steps": config.lockstep_replan_steps} if lockstep else {}
    special: dict[str, dict[str, Any]] = {
        # the session itself begins and ends trials and episodes, and enables the arbiter
        "sim_bridge": {
            "task": config.task,
            "horizon": config.horizon,
            "auto_reset": False,
            **config.perturbation.changes,
        },
        "arbiter": {"start_enabled": False},
        "recorder": {"auto": False, "buttons": False},
        "policy": {"instruction": config.instruction, "promotion": "manual", **replan},
        "teleop": {"task": config.task, "operator_seed": config.seed},
        "trainer": {
            "every_n_episodes": 0,
            "seed": config.seed,
            **({"steps": config.train_steps} if config.train_steps else {}),
            **({"held_out_of": config.held_out_of} if config.held_out_of else {}),
        },
    }
    made = []
    for entry in nodes.NODES:
        parameters = start_parameters(entry, paths, sim=True, use_sim_time=True, device="scripted")
        if entry.has_lockstep:
            parameters["lockstep"] = lockstep
        parameters |= special.get(entry.name, {})
        made.append(Program(entry.name, nodes.command_line(entry, parameters), nodes.environment_for_node(entry)))
    return made


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def shown_episode(episodes: list[EpisodeRecord]) -> EpisodeRecord | None:
    """The episode that shows the loop best: a deployment with a takeover and success, else any with a takeover."""
    taken = [e for e in episodes if e.purpose == Purpose.DEPLOYMENT and e.takeovers]
    return next((e for e in taken if e.success), taken[0] if taken else None)


def label_rule(record: SessionRecord, run_dir: Path) -> LabelRule:
    """The rule by which this run's trainer labelled: that of its last training, before any that of config/trainer.yaml.

    Raises:
        ConfigError: the file is wrong.
    """
    written = [run_dir / "training" / training.run_id / "config.yaml" for training in record.trainings]
    files = [file for file in written if file.is_file()]
    if not files:
        return read_config(nodes.share_dir() / "config" / "trainer.yaml").training.label_rule
    configured = read_config(files[-1]).training.label_rule
    # with k_from its K came from the episodes
    return _rule_in_use(files[-1].with_name("result.json")) or configured


def _rule_in_use(result: Path) -> LabelRule | None:
    try:
        values = json.loads(result.read_text())["data"]["label_rule"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return configuration.build(LabelRule, values, str(result))


def exit_status(record: SessionRecord, signal_name: str) -> int:
    """0 when the session ran to its end and no training failed, 130 after Ctrl-C, else 1."""
    if signal_name:
        return 130
    return 1 if record.stopped or any(training.state == TrainerState.FAILED for training in record.trainings) else 0


def write_report(record: SessionRecord, final_version: int, run_dir: Path) -> dict:
    """Writes report.json, report.html, contact_sheet.png and episode.mp4; returns the report."""
    from apo_bringup.session.report_html import render_html

    report = build_report(record, 0, final_version)
    (run_dir / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    sheet = video = None
    shown = shown_episode(record.episodes)
    if shown is not None:
        try:
            episode = read_episode(shown.path)
            rule = label_rule(record, run_dir)
            write_contact_sheet(episode, rule, run_dir / "contact_sheet.png")
            sheet = run_dir / "contact_sheet.png"
            write_video(episode, rule, run_dir / "episode.mp4")
            video = run_dir / "episode.mp4"
        except (ApoError, OSError) as error:  # pictures are the lesser part of the report
            print(f"no picture of {shown.path}: {error}", file=sys.stderr)
    (run_dir / "report.html").write_text(render_html(report, sheet, video))
    return report


def run_demo(
    config: SessionConfig,
    run_dir: Path,
    expert_dir: Path,
    mode: str,
    checkpoint_dir: Path,
    config_file: str = "config/session.yaml",
) -> int:
    """Runs a session; returns its exit status, see `exit_status`.

    Args:
        config: the plan.
        run_dir: folder of this run; everything is kept there.
        expert_dir: expert demonstrations, made when missing and shared between runs.
        mode: `lockstep` or `realtime`.
        checkpoint_dir: base policy.
        config_file: where the plan comes from, for messages.
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from apo_bringup.session.node import SessionNode
    from apo_sim_bridge.demonstrations.files import ensure_demonstrations

    console, started = LiveLine(), time.monotonic()
    address = Path(nodes.default_paths(run_dir)["address_file"])
    noted: list[str] = []
    watch = Watch(lambda: supervisor.dead(), time.monotonic)
    watch.install()
    contract = load_contract(nodes.default_paths(run_dir)["contract_file"])
    run_dir.mkdir(parents=True)
    console.note(f"run folder: {run_dir}")
    record = SessionRecord(dataclasses.asdict(config), versions=versions(), rate_hz=contract.rate_hz)
    supervisor = Supervisor(programs(config, run_dir, mode, checkpoint_dir), run_dir / "log")
    made: list[SessionNode] = []

    def update(text: str) -> None:
        if not noted and address.is_file():
            noted.append(address.read_text().strip())
            console.note(f"console: {noted[0]}")
        console.update(text)

    def progress(text: str) -> None:
        watch.check()
        update(text)

    def prepare() -> None:
        files = ensure_demonstrations(
            task=config.task,
            directory=expert_dir,
            episodes=config.expert_episodes,
            seed=config.expert_seed,
            instruction=config.instruction,
            contract=contract,
            progress=progress,
            perturbation=config.perturbation,
        )
        # the trainer takes a whole folder; this one holds what the session asked for, however many there are
        linked = Path(nodes.default_paths(run_dir)["expert_dir"])
        linked.mkdir()
        for path in files:
            (linked / path.name).symlink_to(path)
        console.note(f"expert demonstrations: {len(files)} in {expert_dir}")

    def connect() -> SessionNode:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        bridge = configuration.load(SimBridgeConfig, nodes.share_dir() / "config" / "sim_bridge.yaml", "sim_bridge")
        subscribers = expected_subscribers(contract, [bridge.command_topic, bridge.gripper_topic])
        made.append(SessionNode(config, subscribers, watch.check, config_file, realtime=mode == "realtime"))
        return made[0]

    try:
        final = conduct(config, record, prepare, connect, console.note, update)
    finally:
        # before the nodes end: while participants leave, Fast DDS can deadlock in a destructor (Fast-DDS issue 6502)
        try:
            for node in made:
                node.destroy_node()
            rclpy.try_shutdown()
        finally:
            supervisor.stop()
    record.seconds = time.monotonic() - started
    report = write_report(record, final, run_dir)
    console.note(format_table(report))
    console.note(f"\nreport: {run_dir / 'report.html'}")
    return exit_status(record, watch.signal_name)
