"""`apo demo`: the whole loop in simulation, every node its own process, and the report of it."""

from __future__ import annotations

import dataclasses
import json
import platform
import signal
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from apo_bringup import nodes
from apo_bringup.console import Console
from apo_bringup.episode_view import write_contact_sheet, write_video
from apo_bringup.report import EpisodeRecord, SessionRecord, build_report, format_table
from apo_bringup.session import SessionStopped, run_session
from apo_bringup.session_plan import SessionConfig
from apo_bringup.supervision import Program, Supervisor
from apo_core.contract import load_contract
from apo_core.episode_file import read_episode
from apo_core.errors import ApoError
from apo_core.labeling import LabelRule
from apo_core.types import Purpose

_START_TIMEOUT_S = 180.0
_VERSIONS = ("torch", "transformers", "peft", "numpy", "h5py", "robosuite", "mujoco", "ros-rclpy")


class _Watch:
    """Ends the session on Ctrl-C or when a node dies."""

    def __init__(self, supervisor: Supervisor):
        self._supervisor = supervisor
        self._next = 0.0
        self.signal_name = ""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.signal_name = signal.Signals(number).name

    def check(self) -> None:
        """Raises SessionStopped when the session must end."""
        if self.signal_name:
            raise SessionStopped(f"{self.signal_name} received")
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        for state in self._supervisor.dead():
            tail = "\n".join(state.log.read_text(errors="replace").splitlines()[-8:]) if state.log.exists() else ""
            raise SessionStopped(f"node '{state.name}' ended with status {state.exit_status}; {state.log}:\n{tail}")


def programs(config: SessionConfig, run_dir: Path, mode: str, checkpoint_dir: Path | None = None) -> list[Program]:
    """Every node of the table, with the parameters of a session."""
    paths = nodes.default_paths(run_dir)
    if checkpoint_dir is not None:
        paths["checkpoint_dir"] = str(checkpoint_dir)
    lockstep = mode == "lockstep"
    # where simulated time waits for the inference, a chunk is used to its end
    replan = {"replan_steps": config.lockstep_replan_steps} if lockstep else {}
    special = {
        "sim_bridge": {"task": config.task, "horizon": config.horizon, "auto_reset": False},
        "policy": {"instruction": config.instruction, "auto_reload": False, **replan},
        "teleop": {"task": config.task, "device": "scripted"},
        "recorder": {"auto": False},
        "trainer": {"every_n_episodes": 0, **({"steps": config.train_steps} if config.train_steps else {})},
    }
    made = []
    for entry in nodes.NODES:
        parameters: dict[str, object] = {name: paths[name] for name in entry.path_parameters}
        parameters["use_sim_time"] = entry.name != "sim_bridge"
        if entry.name != "trainer":
            parameters["lockstep"] = lockstep
        parameters |= special.get(entry.name, {})
        made.append(Program(entry.name, nodes.command_line(entry, parameters), nodes.environment_for_nodes()))
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


def write_report(record: SessionRecord, final_version: int, run_dir: Path) -> dict:
    """Writes report.json, report.html, contact_sheet.png and episode.mp4; returns the report."""
    from apo_bringup.report_html import render_html

    report = build_report(record, 0, final_version)
    (run_dir / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    sheet = video = None
    shown = shown_episode(record.episodes)
    if shown is not None:
        try:
            episode = read_episode(shown.path)
            write_contact_sheet(episode, LabelRule(), run_dir / "contact_sheet.png")
            sheet = run_dir / "contact_sheet.png"
            write_video(episode, LabelRule(), run_dir / "episode.mp4")
            video = run_dir / "episode.mp4"
        except (ApoError, OSError) as error:  # pictures are the lesser part of the report
            print(f"no picture of {shown.path}: {error}", file=sys.stderr)
    (run_dir / "report.html").write_text(render_html(report, sheet, video))
    return report


def run_demo(
    config: SessionConfig, run_dir: Path, expert_dir: Path, mode: str = "lockstep", checkpoint_dir: Path | None = None
) -> int:
    """Runs a session; returns 0 when it ran to its end and no training failed, 130 after Ctrl-C, else 1.

    Args:
        config: the plan.
        run_dir: folder of this run; everything is kept there.
        expert_dir: expert demonstrations, made when missing and shared between runs.
        mode: `lockstep` or `realtime`.
        checkpoint_dir: base policy; None is the shipped one.
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from apo_bringup.session_node import SessionNode
    from apo_sim_bridge.demonstration_files import ensure_demonstrations

    console, started = Console(sys.stdout), time.monotonic()
    run_dir.mkdir(parents=True)
    console.note(f"run folder: {run_dir}")
    record = SessionRecord(dataclasses.asdict(config), versions=versions())
    supervisor = Supervisor(programs(config, run_dir, mode, checkpoint_dir), run_dir / "log")
    watch = _Watch(supervisor)
    final, node = 0, None
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        made = ensure_demonstrations(
            task=config.task,
            directory=expert_dir,
            episodes=config.expert_episodes,
            seed=config.expert_seed,
            instruction=config.instruction,
            contract=load_contract(nodes.default_paths(run_dir)["contract_file"]),
            progress=lambda text: (watch.check(), console.update(text)),
        )
        # the trainer takes a whole folder; this one holds what the session asked for, however many there are
        linked = Path(nodes.default_paths(run_dir)["expert_dir"])
        linked.mkdir()
        for path in made:
            (linked / path.name).symlink_to(path)
        console.note(f"expert demonstrations: {len(made)} in {expert_dir}")
        node = SessionNode(config, watch.check)
        node.wait_ready(_START_TIMEOUT_S, console.update)
        console.note(f"all nodes are up after {time.monotonic() - started:.0f} s")
        final = run_session(config, node, record, console.note, console.update)
    except SessionStopped as error:
        record.stopped = str(error)
        console.note(f"stopping: {error}")
        final = max((r.version for r in record.reloads if r.accepted), default=0)
    except Exception as error:  # the report of what was measured until then must not be lost
        record.stopped = f"{type(error).__name__}: {error}"
        if not isinstance(error, ApoError):
            traceback.print_exc()
        console.note(f"stopping: {record.stopped}")
    finally:
        try:
            if node is not None and record.stopped:
                node.end_recording()
        finally:
            supervisor.stop()
            if node is not None:
                node.destroy_node()
            rclpy.try_shutdown()
    record.seconds = time.monotonic() - started
    report = write_report(record, final, run_dir)
    console.note(format_table(report))
    console.note(f"\nreport: {run_dir / 'report.html'}")
    if watch.signal_name:
        return 130
    failed = any(t.state == "FAILED" for t in record.trainings)
    return 1 if record.stopped or failed else 0
