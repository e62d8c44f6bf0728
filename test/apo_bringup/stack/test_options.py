from pathlib import Path

import pytest

pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup' or source a ROS 2 installation")

from apo_bringup.stack import nodes
from apo_bringup.stack.options import OPERATOR_DEVICES, OPTIONS, chosen_paths, is_lockstep, start_parameters
from apo_core.errors import ConfigError

PATHS = nodes.default_paths(Path("/data"))


def parameters(name, sim=True, use_sim_time=True, device=""):
    return start_parameters(nodes.node(name), PATHS, sim=sim, use_sim_time=use_sim_time, device=device)


def test_options_and_their_flags_have_names_of_their_own():
    for names in ([option.name for option in OPTIONS], [option.flag for option in OPTIONS if option.flag]):
        assert len(set(names)) == len(names)


def test_operator_devices_are_those_of_the_teleop_node():
    config = pytest.importorskip("apo_teleop.devices.config")
    shipped = (config.AUTO, config.SPACEMOUSE, config.JOY, config.KEYBOARD)
    assert (*shipped, config.BROWSER, config.SCRIPTED, config.NONE) == OPERATOR_DEVICES


def test_given_paths_win_over_those_below_the_data_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    paths = chosen_paths(Path("live"), {"adapter_dir": "store", "expert_dir": "", "contract_file": "/robot.yaml"})
    assert (paths["adapter_dir"], paths["contract_file"]) == (str(tmp_path / "store"), "/robot.yaml")
    assert (paths["expert_dir"], paths["run_dir"]) == (f"{tmp_path}/live/expert", f"{tmp_path}/live/training")


@pytest.mark.parametrize("entry", nodes.NODES, ids=lambda e: e.name)
def test_every_node_gets_its_paths_and_its_clock(entry):
    for use_sim_time in (False, True):
        values = start_parameters(entry, PATHS, sim=False, use_sim_time=use_sim_time, device="")
        assert values.pop("use_sim_time") is (use_sim_time and entry.name != "sim_bridge")
        assert values == {name: PATHS[name] for name in entry.path_parameters}


def test_only_in_simulation_the_loop_runs_by_itself():
    assert parameters("arbiter")["start_enabled"] is True
    assert "start_enabled" not in parameters("arbiter", sim=False)


def test_the_device_is_a_parameter_of_teleop_alone():
    assert parameters("teleop", device="joy")["device"] == "joy"
    assert "device" not in parameters("teleop") and "device" not in parameters("arbiter", device="joy")


@pytest.mark.parametrize(
    ("names", "mode", "sim", "wanted"),
    [
        ([entry.name for entry in nodes.NODES], "lockstep", True, True),
        (["sim_bridge", "policy", "arbiter", "teleop"], "lockstep", True, True),
        ([entry.name for entry in nodes.NODES], "realtime", True, False),
        ([entry.name for entry in nodes.NODES], "lockstep", False, False),
        (["sim_bridge", "arbiter", "teleop"], "lockstep", True, False),
        (["sim_bridge"], "lockstep", True, False),
    ],
)
def test_simulated_time_waits_for_nodes_that_start_together(names, mode, sim, wanted):
    assert is_lockstep([nodes.node(name) for name in names], mode, sim=sim) is wanted


def test_an_unknown_mode_is_rejected():
    with pytest.raises(ConfigError, match="mode = 'fast' must be one of: lockstep, realtime"):
        is_lockstep(nodes.NODES, "fast", sim=True)


def test_lockstep_is_at_most_as_fast_as_real_time():
    values = {
        entry.name: start_parameters(entry, PATHS, sim=True, use_sim_time=True, device="", lockstep=True)
        for entry in nodes.NODES
    }
    waited_for = {e.name for e in nodes.NODES} - {"trainer", "console"}
    assert {name for name, chosen in values.items() if chosen.get("lockstep")} == waited_for
    assert values["sim_bridge"]["largest_pace"] == 1.0 and values["policy"]["replan_steps"] == 4
    assert "lockstep" not in parameters("sim_bridge")
