"""The whole loop with every node its own process: `apo demo --quick`, with fewer trials, and what it leaves behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.adapters.store import AdapterStore
from apo_core.types import ControlSource, EpisodeKind, StepLabel
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import list_episodes, read_episode

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 540
FEWER = ("episodes_per_round=4", "evaluation_episodes=1", "expert_episodes=4")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def start(domain: int, run_dir: Path, expert_dir: Path) -> subprocess.Popen:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        environment.pop(name, None)  # ./apo sets the product's own transports
    folders = ["--output", str(run_dir), "--expert-dir", str(expert_dir)]
    return subprocess.Popen(
        [str(ROOT / "apo"), "demo", "--quick", *folders, "--set", *FEWER],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def expert_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("expert")


@pytest.fixture(scope="module")
def run(tmp_path_factory, expert_dir, next_domain):
    run_dir = tmp_path_factory.mktemp("demo") / "run"
    process = start(next_domain(), run_dir, expert_dir)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output
    return run_dir


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "report.json").read_text())


@pytest.fixture(scope="module")
def deployed(run, report):
    paths = {p.stem: p for p in list_episodes(run / "episodes")}
    return [read_episode(paths[e["episode_id"]]) for e in report["episodes"] if e["purpose"] == "deployment"]


def test_an_adapter_was_trained_from_this_runs_own_interventions(run, expert_dir, report, deployed):
    (training,) = report["train"]["runs"]
    assert training["state"] == "PUBLISHED", training["message"]
    version, tensors = AdapterStore(run / "adapters").read(training["adapter_version"])
    own = set(version.episode_ids) - {path.stem for path in list_episodes(expert_dir)}
    assert own <= {e.info.episode_id for e in deployed}
    assert any(e.takeovers for e in deployed if e.info.episode_id in own)
    assert any(t.any() for name, t in tensors.items() if "lora_B" in name)


def test_the_adapter_served_and_drove(run, report):
    (reload,) = report["reloads"]
    assert reload["accepted"], reload["message"]
    final = report["evaluation"]["final"]["adapter_version"]
    assert final == reload["version"]
    episode = next(e for e in report["episodes"] if e["purpose"] == "evaluation" and e["adapter_version"] == final)
    recorded = read_episode(episode["path"])
    drove = {v for v, s in zip(recorded.adapter_versions, recorded.sources, strict=True) if s == ControlSource.POLICY}
    assert drove == {final}


def test_no_tick_was_missed_in_the_reload(report):
    (reload,) = report["reloads"]
    assert reload["ticks"] >= 1
    assert reload["ticks_missed"] == 0
    assert report["control"]["reload_ticks_missed"] == 0


def test_the_episode_of_the_reload_has_both_versions_and_no_gap(report):
    (episode,) = (e for e in report["episodes"] if e["purpose"] == "reload")
    recorded = read_episode(episode["path"])
    assert set(recorded.adapter_versions.tolist()) == {0, 1}
    assert (recorded.ticks[1:] - recorded.ticks[:-1] == 1).all()


def test_labels_follow_from_who_drove(deployed):
    rule = LabelRule(undesirable_steps=10)
    assert any(e.takeovers for e in deployed)
    for episode in deployed:
        labels = episode.labels(rule)
        for source, label in zip(episode.sources, labels, strict=True):
            assert (label == StepLabel.CORRECTED) == (source == ControlSource.HUMAN)
        for takeover in episode.takeovers:
            before = [
                label
                for source, label in zip(
                    episode.sources[max(takeover - 10, 0) : takeover],
                    labels[max(takeover - 10, 0) : takeover],
                    strict=True,
                )
                if source == ControlSource.POLICY
            ]
            assert before[-1:] in ([], [StepLabel.UNDESIRABLE])


def test_the_executed_action_is_the_one_of_who_drove(deployed):
    for episode in deployed:
        own = {ControlSource.POLICY: episode.policy_actions, ControlSource.HUMAN: episode.human_actions}
        for index, source in enumerate(episode.sources):
            if source in own:
                executed, wanted = episode.executed_actions[index], own[source][index]
                # limits may only make a motion smaller
                assert (abs(executed[:6]) <= abs(wanted[:6]) + 1e-5).all(), (episode.info.episode_id, index)


def test_base_and_final_were_evaluated_on_the_same_held_out_seeds(report):
    evaluation = report["evaluation"]
    assert evaluation["base"]["adapter_version"] == 0
    assert evaluation["base"]["n"] == evaluation["final"]["n"] == report["config"]["evaluation_episodes"]
    assert evaluation["base"]["seeds"] == evaluation["final"]["seeds"]
    assert not set(evaluation["base"]["seeds"]) & set(report["seeds"]["deployment"])


def test_evaluation_had_no_operator(report):
    assert all(e["takeovers"] == 0 for e in report["episodes"] if e["purpose"] == "evaluation")


def test_nothing_was_lost(report):
    assert report["control"]["ticks"] > 0
    assert report["frames"]["recorded"] > 0
    assert report["frames"]["lost"] == 0


def test_report_and_pictures_are_there(run):
    for name in ("report.html", "contact_sheet.png", "episode.mp4"):
        assert (run / name).stat().st_size > 1000, name


def test_expert_demonstrations_are_shared_between_runs(run, expert_dir):
    files = list_episodes(expert_dir)
    assert len(files) == 4
    assert read_episode(files[0], images=False).info.kind == EpisodeKind.DEMONSTRATION


def test_ctrl_c_stops_every_process_and_keeps_the_data(run, expert_dir, tmp_path, monkeypatch, next_domain):
    run_dir = tmp_path / "run"
    # every process of a run inherits it, so that none that is left can hide
    mark = f"run-{os.getpid()}-{tmp_path}"
    monkeypatch.setenv("APO_TEST_RUN", mark)
    process = start(next_domain(), run_dir, expert_dir)
    deadline = time.monotonic() + 180
    partial = run_dir / "episodes" / ".partial"
    # some steps must be on their way to the disk: an episode without any is dropped
    while not (partial.is_dir() and any(p.stat().st_size > 100_000 for p in partial.glob("*.h5"))):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "no episode was recorded"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopped early: SIGINT received" in output
    (path,) = list_episodes(run_dir / "episodes")[-1:]
    assert read_episode(path).info.kind == EpisodeKind.INTERACTION
    assert not list(partial.iterdir())
    assert json.loads((run_dir / "report.json").read_text())["stopped"] == "SIGINT received"
    left = [p.name for p in Path("/proc").iterdir() if p.name.isdigit() and mark.encode() in _environment(p)]
    assert left == []


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
