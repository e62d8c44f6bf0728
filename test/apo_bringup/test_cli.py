import ast
import importlib.util
from pathlib import Path

import pytest

from apo_bringup.cli import COMMANDS, main
from apo_bringup.stack import nodes


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert {"demo", "up", "operator", "base-policy", "train", "episodes", "adapters"} <= set(COMMANDS)
    for name in COMMANDS:
        assert f"\n    {name} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_here_or_is_a_program_with_a_main(name):
    command = COMMANDS[name]
    assert bool(command.program) == (command.run is None) == (command.add_options is None)
    if command.program:
        tree = ast.parse(Path(importlib.util.find_spec(command.program).origin).read_text())
        assert "main" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_program_parses_its_own_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["sessions", "--help"])
    assert exit_.value.code == 0
    assert "usage: apo sessions" in capsys.readouterr().out


def test_a_wrong_session_parameter_names_itself_its_limit_and_the_file(capsys):
    assert main(["demo", "--set", "rounds=0"]) == 2
    text = capsys.readouterr().err
    assert "session.yaml" in text
    assert "rounds = 0 is below its limit 1" in text


def test_a_staged_demo_is_the_study_with_the_same_options(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr("apo_experiments.staged.staged_study.main", lambda words: calls.append(words) or 3)
    assert main(["demo", "--staged"]) == 3
    assert main(["demo", "--staged", "--output", "out", "--set", "episodes=4", "workers=1"]) == 3
    assert calls == [[], ["--output", "out", "--set", "episodes=4", "workers=1"]]
    assert main(["demo", "--staged", "--quick", "--checkpoint", "mine"]) == 2
    assert "--staged takes no --quick, --checkpoint" in capsys.readouterr().err


def test_an_unknown_option_is_an_error(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--fast"])
    assert exit_.value.code == 2
    assert "--fast" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "file", "rounds"),
    [
        ([], "config/session.yaml", 3),
        (["--quick"], "config/session_quick.yaml", 1),
        (["--quick", "--set", "rounds=2"], "config/session_quick.yaml", 2),
    ],
)
def test_a_demo_gets_its_plan_and_the_name_of_its_file(monkeypatch, tmp_path, arguments, file, rounds):
    calls = []
    monkeypatch.setattr("apo_bringup.demo.run_demo", lambda *given: calls.append(given) or 130)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--output", "out", *arguments]) == 130
    ((config, run_dir, expert_dir, mode, checkpoint, config_file),) = calls
    assert (config_file, config.rounds, config.instruction) == (file, rounds, "lift the red cube")
    assert (run_dir, expert_dir) == (tmp_path / "out", tmp_path / "data" / "expert" / "lift")
    assert (mode, checkpoint) == ("lockstep", nodes.share_dir() / "models" / "lift_base")


def test_a_perturbed_demo_has_demonstrations_of_its_own(monkeypatch, tmp_path):
    folders = []
    monkeypatch.setattr("apo_bringup.demo.run_demo", lambda *given: folders.append(given[2].name) or 0)
    monkeypatch.chdir(tmp_path)
    for changed in ("background=bricks", "background=dark", "action_delay_steps=[1, 1]"):
        assert main(["demo", "--output", "out", "--set", changed]) == 0
    assert folders[0].startswith("lift_") and folders[1].startswith("lift_") and folders[0] != folders[1]
    assert folders[2] == "lift"  # demonstrations have no delays


def test_a_demo_of_a_task_without_base_policy_names_the_command_for_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--output", "out", "--set", "task=Stack"]) == 2
    assert "models/stack_base does not exist: make it with `./apo base-policy --set task=Stack`" in (
        capsys.readouterr().err
    )


def test_a_demo_takes_the_base_policy_of_its_task(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("apo_bringup.demo.run_demo", lambda *given: calls.append(given) or 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "stack_base").mkdir(parents=True)
    assert main(["demo", "--output", "out", "--set", "task=Stack"]) == 0
    assert calls[0][4] == tmp_path / "models" / "stack_base"


@pytest.mark.parametrize("arguments", [["demo"], ["up", "--sim"], ["operator"]])
def test_a_domain_that_no_node_can_use_is_an_error(monkeypatch, capsys, arguments):
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    assert main(arguments) == 2
    assert "ROS_DOMAIN_ID = 'abc' must be a whole number" in capsys.readouterr().err


def test_a_run_folder_is_never_used_twice(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path)]) == 2
    assert "exists already: name a new folder" in capsys.readouterr().err


def test_ctrl_c_before_a_session_is_reported_in_a_line(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("apo_bringup.stack.supervision.run_in_foreground", interrupted)
    assert main(["up", "--sim", "recorder"]) == 130
    assert capsys.readouterr().err == "apo: interrupted\n"


def test_a_broken_override_is_reported_in_a_line(capsys):
    assert main(["demo", "--set", "rounds=["]) == 2
    assert "--set 'rounds=[' has a value that is not YAML" in capsys.readouterr().err


def test_a_section_for_no_node_is_reported(monkeypatch, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("/**/recordr:\n  ros__parameters: {}\n/**/policy:\n  ros__parameters: {}\n")
    monkeypatch.setattr("apo_bringup.stack.supervision.run_in_foreground", lambda *_: 0)
    assert main(["up", "--sim", "recorder", "--params-file", str(file), "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().err == f"apo up: {file}: section '**/recordr' is for no node of apo\n"


def test_a_data_folder_that_is_a_file_is_reported_in_a_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["up", "--sim", "recorder", "--data-dir", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"apo: [Errno 20] Not a directory: '{tmp_path}/file/log'\n"


@pytest.mark.parametrize("command", [["up", "--sim", "recorder"], ["operator"]])
@pytest.mark.parametrize("namespace", ["a b", "1arm", "lab//arm", "arm-1"])
def test_a_namespace_that_ros_rejects_is_reported_in_a_line(capsys, command, namespace):
    assert main([*command, "--namespace", namespace]) == 2
    assert f"--namespace {namespace!r} must be names of letters, digits and _" in capsys.readouterr().err


def test_an_unknown_operator_device_names_the_known_ones(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["up", "--operator", "mouse"])
    assert exit_.value.code == 2
    assert "'spacemouse', 'joy', 'keyboard'" in capsys.readouterr().err


def test_the_episode_tools_get_their_arguments_in_order(tmp_path, capsys):
    takeovers = Path(__file__).parents[1] / "data" / "takeovers"
    assert main(["episodes", "filter", "--min-steps", "43", str(takeovers), "--outcome", "SUCCESS"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(takeovers / f"lift-{seed}.h5") for seed in (10007, 10009)]
    assert main(["episodes", "ls", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"apo episodes ls: {tmp_path / 'none'}: does not exist\n"


def started(monkeypatch, *arguments, command="up"):
    """The programs that `apo up`, or another command, runs, by name."""
    runs = []
    monkeypatch.setattr("apo_bringup.stack.supervision.run_in_foreground", lambda made, _: runs.append(made) or 0)
    assert main([command, *arguments]) == 0
    return {program.name: " ".join(program.command) for program in runs[0]}


def test_up_starts_all_nodes_but_the_simulation(monkeypatch, tmp_path):
    programs = started(monkeypatch, "--robot", "/robot.yaml", "--data-dir", str(tmp_path))
    assert list(programs) == ["policy", "arbiter", "teleop", "recorder", "trainer", "console"]
    assert "use_sim_time:=false" in programs["arbiter"] and "device:=" not in programs["teleop"]
    assert f'expert_dir:="{Path("data/expert/lift").resolve()}"' in programs["trainer"]


@pytest.mark.parametrize("name", ["console", "foxglove", "rerun"])
def test_one_node_starts_alone_with_its_own_parameters(monkeypatch, tmp_path, name):
    options = ("--sim", "--data-dir", str(tmp_path), "--set", "port=8799", "sensor_reliability=best_effort")
    programs = started(monkeypatch, *options, command=name)
    assert list(programs) == [name]
    assert "port:=8799" in programs[name] and 'sensor_reliability:="best_effort"' in programs[name]


def test_a_parameter_that_the_node_lacks_is_rejected(tmp_path, capsys):
    assert main(["foxglove", "--sim", "--data-dir", str(tmp_path), "--set", "ports=8799"]) == 2
    assert "--set ports: foxglove has no such parameter (config/foxglove.yaml)" in capsys.readouterr().err
    assert main(["foxglove", "--sim", "--data-dir", str(tmp_path), "--set", "port=high"]) == 2
    assert "port = 'high' must be of type int, as in config/foxglove.yaml" in capsys.readouterr().err


def test_up_on_a_robot_needs_its_contract(monkeypatch, tmp_path, capsys):
    assert main(["up", "arbiter", "recorder", "trainer", "--data-dir", str(tmp_path)]) == 2
    text = capsys.readouterr().err
    assert "no contract for arbiter, recorder: name the robot's, --robot FILE" in text and "real_arm.md" in text
    assert list(started(monkeypatch, "trainer", "--data-dir", str(tmp_path))) == ["trainer"]


def test_a_parameter_file_may_name_the_contract(monkeypatch, tmp_path, capsys):
    file = tmp_path / "arm.yaml"
    file.write_text("/**/arbiter: {ros__parameters: {contract_file: /robot.yaml}}\n")
    options = ("--params-file", str(file), "--data-dir", str(tmp_path))
    assert list(started(monkeypatch, "arbiter", *options)) == ["arbiter"]
    assert main(["up", "arbiter", "teleop", *options]) == 2
    assert "no contract for teleop:" in capsys.readouterr().err


def test_up_in_simulation_takes_the_options_of_the_launch_files(monkeypatch, tmp_path):
    options = ("--robot", "/robot.yaml", "--checkpoint", "/model", "--operator", "scripted", "--namespace", "arm1")
    programs = started(monkeypatch, "--sim", "--data-dir", str(tmp_path), *options)
    assert next(iter(programs)) == "sim_bridge"
    assert 'contract_file:="/robot.yaml"' in programs["recorder"] and "auto:=true" in programs["recorder"]
    assert 'checkpoint_dir:="/model"' in programs["policy"] and 'device:="scripted"' in programs["teleop"]
    assert all("__ns:=/arm1" in command for command in programs.values())


def test_up_names_every_unknown_node(capsys):
    assert main(["up", "camera", "arm"]) == 2
    text = capsys.readouterr().err
    assert "no node 'camera'" in text and "no node 'arm'" in text
