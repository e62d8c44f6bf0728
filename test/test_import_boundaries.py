"""Every module is imported in a fresh process, which fails if it brings along what its place in the design forbids."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGES = sorted(path.parent for path in SOURCE.glob("*/*/__init__.py"))
# Messages, and with them a built workspace, are allowed in the same places as rclpy.
ROS = ("rclpy", "sensor_msgs", "geometry_msgs", "std_msgs", "apo_interfaces")
TORCH = ("torch", "transformers", "peft")

# Imports modules one after the other and reports the forbidden ones that each is the first to bring along.
_PROBE = """
import importlib, json, sys
modules, forbidden = json.loads(sys.stdin.read())
report, known = {}, set()
for name in modules:
    try:
        importlib.import_module(name)
    except ImportError as error:
        report[name] = ["cannot be imported: " + str(error)]
    loaded = [name for name in forbidden if name in sys.modules and name not in known]
    if loaded:
        report.setdefault(name, []).extend(loaded)
        known.update(loaded)
print("REPORT" + json.dumps(report))
"""


def modules() -> list[str]:
    """Dotted names of all modules under src that are Python packages."""
    return sorted(
        ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for file in package.rglob("*.py")
    )


def may_use_ros(name: str) -> bool:
    return name.startswith("apo_core.ros") or name.endswith("_node") or name in LAUNCHING


def may_use_torch(name: str) -> bool:
    return (
        name.startswith(("apo_core.vla", "apo_vla", "apo_trainer", "apo_experiments"))
        or name == "apo_policy_node.policy_node"
    )


# read by launch files, which run where ROS is
LAUNCHING = {"apo_bringup.stack.launching"}


def probe(names: list[str], forbidden: tuple[str, ...]) -> dict[str, list[str]]:
    """Module -> what it must not have loaded."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MUJOCO_GL": "egl"}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        input=json.dumps([names, forbidden]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("REPORT")[2])


def test_there_is_something_to_check():
    assert {"apo_core.types", "apo_vla.policy", "apo_recorder.recording", "apo_teleop.arbiter.arbiter"} <= set(
        modules()
    )


@pytest.mark.parametrize(
    ("ros", "torch"), [(False, False), (False, True)], ids=["neither ROS nor torch", "torch without ROS"]
)
def test_modules_stay_within_their_boundaries(ros, torch):
    names = [name for name in modules() if may_use_ros(name) == ros and may_use_torch(name) == torch]
    assert names
    assert probe(names, (() if ros else ROS) + (() if torch else TORCH)) == {}


def test_nodes_other_than_the_policy_do_without_torch():
    pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")
    names = [name for name in modules() if name.endswith("_node") and not may_use_torch(name)]
    assert names
    assert probe(names, TORCH) == {}


def test_core_is_imported_by_everyone_and_imports_no_one():
    own = [name for name in modules() if name.startswith("apo_core") and not (may_use_ros(name) or may_use_torch(name))]
    others = tuple(package.name for package in PACKAGES if package.name != "apo_core")
    assert probe(own, others) == {}


def test_numpy_and_hdf5_are_all_the_core_needs_at_the_top():
    own = [name for name in modules() if name.startswith("apo_core") and not (may_use_ros(name) or may_use_torch(name))]
    assert probe(own, ("robosuite", "mujoco", "cv2", "scipy", "matplotlib", "PIL")) == {}
