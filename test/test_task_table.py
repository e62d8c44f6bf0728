"""A row of the task table is all that the packages need: none has a list of tasks of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from apo_core.tasks.specs import TASKS

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "src" / "apo_core" / "apo_core" / "tasks" / "specs.py"

# Adds a row, and then has every consumer work with it.
_NEW_ROW = """
import dataclasses, pkgutil
from pathlib import Path

from apo_core.tasks import specs

new = dataclasses.replace(specs.TASKS["Lift"], name="Raise", instruction="raise it", bodies={"cube": "cube_main"})
specs.TASKS["Raise"] = new

from apo_bringup.session.plan import SessionConfig
from apo_core.config.parameters import load
from apo_core.contract.contract import load_contract
from apo_core.tasks.course import progress
from apo_core.tasks.expert import make_expert
from apo_experiments.base_policy.base_policy import BasePolicyConfig
from apo_experiments.compare.config import CompareConfig
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.demonstrations.files import demonstration_steps
from apo_sim_bridge.demonstrations.scene_views import view_targets
from apo_sim_bridge.sim.env import SimEnv
from apo_sim_bridge.sim.ground_truth import expert_input, task_remaining, task_stages
from apo_teleop.devices.scripted_operator import ScriptedConfig, ScriptedInput, ScriptedOperator, see_objects

for config, section in (
    (SimBridgeConfig, "sim_bridge"),
    (SessionConfig, "session"),
    (BasePolicyConfig, "base_policy"),
):
    assert load(config, Path("config") / f"{section}.yaml", section, {"task": "Raise"}).task == "Raise"
comparison = load(CompareConfig, Path("config/compare.yaml"), "compare", {"task": "Raise"})
assert comparison.evaluation.rollout.instruction == "raise it"

contract = load_contract("config/contract.yaml")
with SimEnv(sim_config(SimBridgeConfig(task="Raise"), contract)) as env:
    frame = env.reset(0)
    assert tuple(frame.objects) == new.objects
    make_expert("Raise").act(expert_input(frame))
    assert task_remaining("Raise", frame) == progress("Raise", expert_input(frame)) > 0
    assert list(task_stages("Raise", frame)) == ["grasped", "lifted"]
    assert view_targets("Raise", frame).shape == (9,)
    steps = demonstration_steps(env, "Raise", 0, None, new.instruction, contract)
    assert steps[-1].observation.instruction == "raise it"
assert all(isinstance(pkgutil.resolve_name(spec.model), type) for spec in specs.TASKS.values())
assert list(see_objects("Raise", list(frame.objects.values()))) == ["cube"]
tick = ScriptedInput(1, expert_input(frame), 1, 0, 0, True)
ScriptedOperator(ScriptedConfig(task="Raise"), contract.period_ns).step(tick)
"""


def test_a_new_row_is_all_that_the_consumers_need():
    pytest.importorskip("robosuite", reason="robosuite is missing: run 'make setup'")
    pytest.importorskip("ament_index_python", reason="ROS 2 is missing: run 'make setup'")
    done = subprocess.run(
        [sys.executable, "-c", _NEW_ROW], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_other_module_names_a_task_or_its_bodies():
    names = set(TASKS) | {body for spec in TASKS.values() for body in spec.bodies.values()}
    found = {
        f"{file.relative_to(ROOT)}: {node.value!r}"
        for file in (ROOT / "src").rglob("*.py")
        if file != TABLE
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert found == set()


def test_commands_offer_the_tasks_of_the_table(capsys):
    from apo_bringup.cli import main

    for command in ("base-policy", "demo"):
        assert main([command, "--set", "task=Door"]) == 2
        text = capsys.readouterr().err
        assert "Door" in text and all(name in text for name in TASKS)
