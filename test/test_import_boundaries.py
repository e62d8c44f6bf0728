"""The dependency rules of the source tree, as one table; imports inside functions count too."""

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import ROOT, imported_names

SOURCE = ROOT / "src"

# package -> packages of this repository that it imports; the order is that of the layers
PACKAGES = {
    "apo_core": set(),
    "apo_episodes": {"apo_core"},
    "apo_vla": {"apo_core"},
    "apo_teleop": {"apo_core"},
    "apo_policy_node": {"apo_core", "apo_vla"},
    "apo_console": {"apo_core", "apo_episodes"},
    "apo_recorder": {"apo_core", "apo_episodes"},
    "apo_sim_bridge": {"apo_core", "apo_episodes"},
    "apo_trainer": {"apo_core", "apo_episodes", "apo_vla"},
    "apo_experiments": {
        *("apo_core", "apo_episodes", "apo_vla", "apo_trainer", "apo_sim_bridge"),
        # the classes behind their nodes, for a loop in one process
        *("apo_teleop", "apo_policy_node", "apo_recorder"),
    },
    "apo_bringup": {"apo_core", "apo_episodes", "apo_trainer", "apo_sim_bridge"},
}
NODE_PACKAGES = {"apo_console", "apo_teleop", "apo_policy_node", "apo_recorder", "apo_sim_bridge", "apo_trainer"}

# package -> part -> other parts of the package that it imports; "" is the package's own folder, and a part covers the
# folders below it
PARTS = {
    "apo_core": {
        "": {"contract"},
        "adapters": {"", "config", "help", "remote", "system"},
        "remote": {"", "system"},
        "config": {""},
        "contract": {"", "config"},
        "help": {"", "contract"},
        "ros": {"", "config", "contract", "system"},
        "system": {""},
        "tasks": {""},
    },
    "apo_episodes": {
        "hdf5": set(),
        "": {"hdf5"},
        "inspection": {""},
        "curate": {"", "inspection"},
        "formats": {"", "hdf5", "inspection", "curate"},
        "remote": {""},
        "cli": {"", "inspection", "curate", "formats", "remote"},
    },
    "apo_vla": {
        "inputs": set(),
        "actions": set(),
        "lora": set(),
        "likelihood": {"actions"},
        "decoding": {"actions", "lora"},
        "checkpoints": {"", "inputs", "actions"},
        "lerobot": {"", "inputs", "actions", "likelihood", "decoding", "checkpoints"},
        "families": {"", "inputs", "actions", "lora", "likelihood", "decoding", "checkpoints", "lerobot"},
        "": {"actions", "lora", "likelihood", "decoding", "checkpoints", "families"},
        "serving": {"", "lora", "decoding"},
        "cli": {"", "checkpoints"},
    },
    "apo_teleop": {
        "motion": set(),
        "devices": set(),
        "outputs": set(),
        "arbiter": {"motion", "outputs"},
        "ros": {"outputs", "devices", "arbiter"},
        "": {"outputs", "devices", "arbiter", "ros"},
    },
    "apo_policy_node": {
        "inference": set(),
        "adapters": {"inference"},
        "ros": {"inference", "adapters"},
        "": {"inference", "adapters", "ros"},
    },
    "apo_console": {
        "view": set(),
        "library": {"", "view"},
        "server": {"", "library"},
        "ros": {"server", "view"},
        "viewers": {""},
        "": {"library", "server", "ros"},
    },
    "apo_recorder": {"background": set(), "ros": {"", "background"}, "": {"background", "ros"}},
    "apo_sim_bridge": {
        "models": set(),
        "perturbation": set(),
        "sim": {"perturbation"},
        "ros": {"", "sim"},
        "demonstrations": {"", "perturbation", "sim"},
        "": {"perturbation", "sim", "ros"},
    },
    "apo_trainer": {
        "losses": set(),
        "data": {""},
        "evaluation": {"", "data"},
        "methods": {"", "losses", "data"},
        "optimisation": {"", "losses", "data", "evaluation", "methods"},
        "runs": {"", "data", "evaluation", "optimisation"},
        "service": {"", "data"},
        "help": set(),
        "": {"data", "runs", "service"},
    },
    "apo_experiments": {
        "base_policy": {""},
        "compare": {""},
        "loop": {""},
        "reproduce": {"", "compare", "loop"},
        "staged": {"", "loop", "reproduce"},
        "": set(),
    },
    "apo_bringup": {
        "stack": set(),
        "chaos": {"stack"},
        "console": {"stack"},
        "session": {"stack"},
        "": {"stack", "console", "session"},
    },
}

ROS = {
    *("rclpy", "launch", "launch_ros", "apo_interfaces", "builtin_interfaces", "diagnostic_msgs", "geometry_msgs"),
    *(
        "control_msgs",
        "lifecycle_msgs",
        "rcl_interfaces",
        "rosgraph_msgs",
        "sensor_msgs",
        "std_msgs",
        "std_srvs",
        "trajectory_msgs",
    ),
}
TORCH = {"torch", "transformers", "peft", "accelerate"}
HDF5 = {"h5py", "hdf5plugin"}
SIMULATION = {"robosuite", "mujoco"}
# what a package imports from elsewhere, of those that are large or bring native libraries
MAY_USE = {
    "apo_core": set(),
    "apo_episodes": HDF5,
    "apo_vla": TORCH,
    "apo_teleop": {"mujoco"},  # kinematics of a robot description
    "apo_policy_node": {"torch"},
    "apo_console": set(),
    "apo_recorder": set(),
    "apo_sim_bridge": SIMULATION,
    "apo_trainer": {"torch", "accelerate"},
    "apo_experiments": {"torch"},
    "apo_bringup": set(),
}
SHARE_OF_A_PACKAGE = 0.2


def _modules() -> dict[str, Path]:
    """Dotted name -> file of every module; a package's name stands for its `__init__`."""
    found = {}
    for package in PACKAGES:
        for file in (SOURCE / package / package).rglob("*.py"):
            name = ".".join(file.relative_to(SOURCE / package).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


MODULES = _modules()


def imported(file: Path) -> set[str]:
    """Names of the modules that a file imports; a name from a module stands for the module."""
    return {name if name in MODULES else name.rpartition(".")[0] or name for name in imported_names(file)}


IMPORTS = {name: imported(file) for name, file in MODULES.items()}


def package_of(name: str) -> str:
    return name.partition(".")[0]


def part_of(name: str) -> str:
    """The folder of a module below its package, dotted; "" for the package's own."""
    folder = MODULES[name].parent
    return ".".join(folder.relative_to(SOURCE / package_of(name) / package_of(name)).parts)


def may_use_ros(name: str) -> bool:
    return name.endswith("_node") or "ros" in name.split(".") or package_of(name) == "apo_bringup"


def covers(part: str, folder: str) -> bool:
    return folder == part or (part != "" and folder.startswith(f"{part}."))


def row_of(name: str) -> str | None:
    """The part of PARTS that covers a module."""
    return next((part for part in PARTS[package_of(name)] if covers(part, part_of(name))), None)


def packages_used(package: str) -> set[str]:
    """Top names of what the modules of a package import."""
    return {package_of(other) for name in MODULES if package_of(name) == package for other in IMPORTS[name]}


def parts_used(package: str) -> Iterator[tuple[str, str, str]]:
    """Each import between two parts of a package: importing module, its part, imported module."""
    for name in (name for name in MODULES if package_of(name) == package):
        for other in IMPORTS[name] & set(MODULES):
            if package_of(other) == package and row_of(other) != row_of(name):
                yield name, row_of(name), other


def test_every_package_and_folder_has_a_row():
    built = {file.parent.name for file in SOURCE.glob("*/setup.py")}
    assert built == set(PACKAGES) == set(MAY_USE) == set(PARTS)
    assert [name for name in MODULES if row_of(name) is None] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_what_its_row_allows(package):
    assert (packages_used(package) & set(PACKAGES)) - {package} <= PACKAGES[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_allowance_of_a_package_is_used(package):
    assert (PACKAGES[package] | MAY_USE[package]) - packages_used(package) == set()
    used = {(row, row_of(other)) for _, row, other in parts_used(package)}
    allowed = {(row, part) for row, parts in PARTS[package].items() for part in parts}
    assert sorted(f"{row or package} does not import {part or package}" for row, part in allowed - used) == []


def test_node_packages_never_import_each_other():
    assert {(a, b) for a in NODE_PACKAGES for b in PACKAGES[a] & NODE_PACKAGES} == set()


@pytest.mark.parametrize("package", PARTS)
def test_part_of_a_package_imports_what_its_row_allows(package):
    rules = PARTS[package]
    wrong = [f"{name} imports {other}" for name, row, other in parts_used(package) if row_of(other) not in rules[row]]
    assert wrong == []


def test_policy_families_do_not_import_each_other():
    families = [name for name in MODULES if name.startswith("apo_vla.families.")]
    assert {
        f"{name} imports {other}"
        for name in families
        for other in IMPORTS[name] & set(families)
        if name.split(".")[2] != other.split(".")[2]
    } == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_large_libraries_stay_in_the_packages_that_name_them(package):
    assert packages_used(package) & (TORCH | HDF5 | SIMULATION) <= MAY_USE[package]


def test_ros_is_imported_by_nodes_ros_folders_and_bringup_alone():
    assert {
        name for name in MODULES if not may_use_ros(name) and ROS & {package_of(other) for other in IMPORTS[name]}
    } == set()


def test_modules_import_each_other_in_no_circle():
    remaining = {name: {other for other in IMPORTS[name] if other in MODULES and other != name} for name in MODULES}
    while free := [name for name, others in remaining.items() if not others & set(remaining)]:
        for name in free:
            del remaining[name]
    # what is left imports a circle, or is in one
    while ends := [name for name in remaining if not any(name in others for others in remaining.values())]:
        for name in ends:
            del remaining[name]
    assert sorted(remaining) == []


def test_no_package_outgrows_the_others():
    lines = Counter()
    for name, file in MODULES.items():
        lines[package_of(name)] += len(file.read_text().splitlines())
    assert {package: n for package, n in lines.items() if n > SHARE_OF_A_PACKAGE * lines.total()} == {}


def test_every_package_describes_itself():
    empty = [name for name, file in MODULES.items() if file.stem == "__init__" and len(_docstring(file)) < 60]
    assert empty == []


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""


# Imports modules one after the other and reports the forbidden ones that each is the first to load.
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


def probe(names: list[str], forbidden: set[str]) -> dict[str, list[str]]:
    """Module -> what it loaded, directly or not, though it must not."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MUJOCO_GL": "egl"}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        input=json.dumps([names, sorted(forbidden)]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("REPORT")[2])


def needs_torch(name: str) -> bool:
    return package_of(name) in {"apo_vla", "apo_trainer", "apo_experiments"} or name == "apo_policy_node.policy_node"


@pytest.mark.parametrize("torch", [False, True], ids=["without torch", "with torch"])
def test_modules_without_ros_load_where_ros_is_missing(torch):
    names = [name for name in MODULES if not may_use_ros(name) and needs_torch(name) == torch]
    assert names
    assert probe(names, ROS if torch else ROS | TORCH) == {}


def test_nodes_other_than_the_policy_load_without_torch():
    pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")
    names = [
        name
        for name in MODULES
        if (name.endswith("_node") and not needs_torch(name)) or name == "apo_trainer.trainer_node"
    ]
    assert names
    assert probe(names, TORCH) == {}


def test_core_and_teleop_load_without_pictures_files_and_simulation():
    names = [name for name in MODULES if package_of(name) in {"apo_core", "apo_teleop"} and not may_use_ros(name)]
    assert probe(names, HDF5 | SIMULATION | {"cv2", "scipy", "matplotlib", "PIL"}) == {}
