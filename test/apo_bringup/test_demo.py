import json
import platform
from pathlib import Path

import pytest
import yaml

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from apo_bringup.demo import exit_status, label_rule, programs, shown_episode, versions, write_report
from apo_bringup.session.plan import SessionConfig
from apo_bringup.session.report import EpisodeRecord, SessionRecord, TrainingRecord
from apo_bringup.stack import nodes
from apo_core.config.parameters import build
from apo_core.errors import ConfigError
from apo_core.types import ControlSource, EpisodeOutcome, Outcome, Purpose
from apo_episodes.inspection.view import write_contact_sheet
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_episodes.writer import EpisodeWriter
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_trainer.config import TrainerConfig, write_config

CONFIG = SessionConfig(task="Stack", instruction="stack: it", horizon=80, train_steps=0, lockstep_replan_steps=5)


def parameters(program) -> dict:
    """What the command line of a program sets."""
    words = list(program.command)
    pairs = [words[i + 1].split(":=", 1) for i, word in enumerate(words) if word == "-p"]
    return {name: yaml.safe_load(value) for name, value in pairs}


def by_name(config=CONFIG, run_dir="/run", mode="lockstep") -> dict[str, dict]:
    return {p.name: parameters(p) for p in programs(config, Path(run_dir), mode, Path("/models/mine"))}


def episode(name, purpose, outcome, takeovers):
    return EpisodeRecord(name, "", purpose, 0, 1, 0, outcome, 9, takeovers, 0.1, 1, 0, 1.0)


def test_every_node_of_the_table_is_started_with_its_configuration():
    made = programs(CONFIG, Path("/run"), "lockstep", Path("/models/mine"))
    assert [p.name for p in made] == [entry.name for entry in nodes.NODES]
    for program, entry in zip(made, nodes.NODES, strict=True):
        assert program.command[0] == str(nodes.executable_path(entry))
        file = program.command[program.command.index("--params-file") + 1]
        assert file == str(nodes.share_dir() / "config" / f"{entry.name}.yaml")
        assert program.environment == nodes.environment_for_node(nodes.node(program.name))


def test_a_perturbation_reaches_the_simulation():
    changed = {"distractors": 2, "light_intensity": (0.5, 1.0)}
    bridge = by_name(SessionConfig(perturbation=build(Perturbation, changed, "session.yaml")))["sim_bridge"]
    assert (bridge["distractors"], bridge["light_intensity"]) == (2, [0.5, 1.0])
    assert "background" not in bridge


def test_parameters_in_lockstep():
    share = nodes.share_dir()
    contract, model = str(share / "config" / "contract.yaml"), "/models/mine"
    common = {"contract_file": contract, "use_sim_time": True, "lockstep": True}
    assert by_name() == {
        "sim_bridge": {**common, "use_sim_time": False, "task": "Stack", "horizon": 80, "auto_reset": False},
        "policy": {
            **common,
            "checkpoint_dir": model,
            "adapter_dir": "/run/adapters",
            "instruction": "stack: it",
            "promotion": "manual",
            "replan_steps": 5,
        },
        "arbiter": {**common, "start_enabled": False},
        "teleop": {**common, "task": "Stack", "device": "scripted", "operator_seed": 0},
        "recorder": {**common, "episode_dir": "/run/episodes", "auto": False, "buttons": False},
        "trainer": {
            "checkpoint_dir": model,
            "adapter_dir": "/run/adapters",
            "episode_dir": "/run/episodes",
            "expert_dir": "/run/expert",
            "run_dir": "/run/training",
            "use_sim_time": True,
            "every_n_episodes": 0,
            "seed": 0,
        },
        "console": {
            "contract_file": contract,
            "episode_dir": "/run/episodes",
            "adapter_dir": "/run/adapters",
            "run_dir": "/run/training",
            "export_dir": "/run/exports",
            "tls_dir": "/run/tls",
            "address_file": "/run/console_address",
            "use_sim_time": True,
        },
    }


def test_in_realtime_the_policy_replans_as_configured():
    made = by_name(mode="realtime")
    assert {
        name: values["lockstep"] for name, values in made.items() if name not in ("trainer", "console")
    } == dict.fromkeys(("sim_bridge", "policy", "arbiter", "teleop", "recorder"), False)
    assert "replan_steps" not in made["policy"]


def test_steps_of_the_session_win_over_those_of_the_trainer():
    assert by_name(SessionConfig(train_steps=30))["trainer"]["steps"] == 30
    assert "steps" not in by_name(SessionConfig(train_steps=0))["trainer"]


def test_what_may_be_held_out_is_the_trainers_unless_the_session_gives_it():
    assert by_name(SessionConfig(held_out_of="interactions"))["trainer"]["held_out_of"] == "interactions"
    assert "held_out_of" not in by_name(SessionConfig())["trainer"]


@pytest.mark.parametrize(
    ("episodes", "shown"),
    [
        ([], None),
        ([("a", Purpose.DEPLOYMENT, Outcome.SUCCESS, 0)], None),
        ([("a", Purpose.RELOAD, Outcome.SUCCESS, 1)], None),
        ([("a", Purpose.DEPLOYMENT, Outcome.FAILURE, 1), ("b", Purpose.DEPLOYMENT, Outcome.SUCCESS, 1)], "b"),
        ([("a", Purpose.DEPLOYMENT, Outcome.UNLABELED, 1), ("b", Purpose.DEPLOYMENT, Outcome.FAILURE, 2)], "a"),
    ],
    ids=["no episode", "no takeover", "not deployed", "a success first", "else any with a takeover"],
)
def test_the_shown_episode_is_a_deployment_with_a_takeover(episodes, shown):
    best = shown_episode([episode(*one) for one in episodes])
    assert (best and best.episode_id) == shown


def test_versions_of_what_is_installed():
    found = versions()
    assert found["python"] == platform.python_version()
    assert {"torch", "numpy", "h5py"} <= set(found)
    assert "" not in found.values()


def training(run_id="r1", state="PUBLISHED"):
    return TrainingRecord(0, run_id, state, "", 1, 30, 1.0, ())


@pytest.mark.parametrize(
    ("stopped", "state", "signal_name", "status"),
    [
        ("", "PUBLISHED", "", 0),
        ("", "REJECTED", "", 0),
        ("", "FAILED", "", 1),
        ("node 'policy' ended", "PUBLISHED", "", 1),
        ("SIGINT received", "PUBLISHED", "SIGINT", 130),
    ],
)
def test_exit_status(stopped, state, signal_name, status):
    record = SessionRecord({}, trainings=[training(state=state)], stopped=stopped)
    assert exit_status(record, signal_name) == status


def test_pictures_are_labelled_by_the_rule_of_the_last_training(tmp_path):
    for run_id, steps in (("r1", 3), ("r2", 4)):
        folder = tmp_path / "training" / run_id
        folder.mkdir(parents=True)
        write_config(
            build(TrainerConfig, {"undesirable_steps": steps, "failure_rule": "keep"}, "test"), folder / "config.yaml"
        )
    record = SessionRecord({}, trainings=[training("r1"), training("r2"), training("never written")])
    assert label_rule(record, tmp_path) == LabelRule(4, 0.0, "keep")


def test_pictures_are_labelled_by_a_k_that_came_from_the_episodes(tmp_path):
    folder = tmp_path / "training" / "r1"
    folder.mkdir(parents=True)
    write_config(build(TrainerConfig, {"undesirable_steps": 3, "k_from": "stalled"}, "test"), folder / "config.yaml")
    record = SessionRecord({}, trainings=[training("r1")])
    (folder / "result.json").write_text('{"state": "FAILED"}')
    assert label_rule(record, tmp_path) == LabelRule(3)
    (folder / "result.json").write_text('{"data": {"label_rule": {"undesirable_steps": 17}}}')
    assert label_rule(record, tmp_path) == LabelRule(17)


def test_without_a_training_the_rule_is_that_of_the_trainers_file(tmp_path):
    shipped = yaml.safe_load((nodes.share_dir() / "config" / "trainer.yaml").read_text())
    values = shipped["/**/trainer"]["ros__parameters"]
    assert label_rule(SessionRecord({}), tmp_path) == LabelRule(
        values["undesirable_steps"], values["undesirable_seconds"], values["failure_rule"]
    )


def test_a_wrong_rule_is_an_error_that_names_the_file(tmp_path):
    file = tmp_path / "training" / "r1" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("trainer: {ros__parameters: {undesirable_steps: -1}}")
    with pytest.raises(ConfigError, match="undesirable_steps = -1 is below its limit 0") as error:
        label_rule(SessionRecord({}, trainings=[training("r1")]), tmp_path)
    assert str(file) in str(error.value)


def test_the_report_has_pictures_and_lists_the_interrupted_episode(tmp_path, small_contract, make_step, make_info):
    writer = EpisodeWriter(tmp_path / "episodes", make_info(), small_contract)
    for tick in range(1, 9):
        writer.append(make_step(tick, ControlSource.HUMAN if tick in (6, 7) else ControlSource.POLICY))
    path = writer.finish(EpisodeOutcome(Outcome.UNLABELED, "session_stopped", False, True))
    folder = tmp_path / "training" / "r1"
    folder.mkdir(parents=True)
    write_config(build(TrainerConfig, {"undesirable_steps": 2}, "test"), folder / "config.yaml")
    cut = EpisodeRecord("e1", str(path), Purpose.DEPLOYMENT, 1, 5, 1, Outcome.UNLABELED, 8, 1, 0.25, 8, 0, 1.0)
    record = SessionRecord({}, [cut], [training("r1")], stopped="SIGINT received")
    report = write_report(record, 1, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))
    assert [(e["episode_id"], e["outcome"]) for e in report["episodes"]] == [("e1", "UNLABELED")]
    assert "<td>interrupted</td>" in (tmp_path / "report.html").read_text()
    drawn = (tmp_path / "contact_sheet.png").read_bytes()
    for steps in (2, 10):
        write_contact_sheet(read_episode(path), LabelRule(steps), tmp_path / f"{steps}.png")
    assert drawn == (tmp_path / "2.png").read_bytes() != (tmp_path / "10.png").read_bytes()
    assert (tmp_path / "episode.mp4").stat().st_size > 0


def test_an_unreadable_episode_leaves_the_report_without_pictures(tmp_path, capsys):
    shown = EpisodeRecord("e1", "/none/e1.h5", Purpose.DEPLOYMENT, 0, 5, 0, Outcome.SUCCESS, 8, 1, 0.2, 8, 0, 1.0)
    write_report(SessionRecord({}, [shown]), 0, tmp_path)
    assert "no picture of /none/e1.h5" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]
