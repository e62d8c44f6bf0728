"""Every package.xml declares what its package imports, and nothing else, so that rosdep installs what runs."""

import ast
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

PACKAGES = sorted(path.parent for path in (Path(__file__).parents[1] / "src").glob("*/setup.py"))
# module -> rosdep key, where the two differ
KEYS = {
    "PIL": "python3-pil",
    "cv2": "python3-opencv",
    "h5py": "python3-h5py",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
# rosdep has no key for them, or none of a version that serves: requirements/*.in
PIP = {"hdf5plugin", "pyspacemouse", "supervisor", "zstandard"}
PIP |= {"accelerate", "cryptography", "peft", "safetensors", "scipy", "tensorboardX", "tokenizers", "torch"}
PIP |= {"mujoco", "pyarrow", "robosuite", "rosbags", "rerun", "transformers"}
# what apo_core brings to all that depend on it
CORE = {"numpy", "yaml"}
# started by name: nodes by the launch files, programs by the command line
STARTED = {"apo_bringup": {"apo_experiments", "apo_policy_node", "apo_recorder", "apo_teleop", "apo_vla"}}


def imported(package: Path) -> set[str]:
    """Names of the distributions that the modules of a package import, those in functions too."""
    found: set[str] = set()
    for file in (package / package.name).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - PIP - {package.name}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_declares_what_it_imports(package):
    declared = {element.text for element in xml.parse(package / "package.xml").getroot().iter("exec_depend")}
    names = imported(package) - (CORE if package.name != "apo_core" else set())
    needed = {KEYS.get(name, name) for name in names} | STARTED.get(package.name, set())
    assert declared == needed
