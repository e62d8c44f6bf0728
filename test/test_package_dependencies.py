"""Every package.xml declares what its package imports, and nothing else, so that rosdep installs what runs."""

import xml.etree.ElementTree as xml

import pytest
from source_tree import ROOT, imported_distributions

PACKAGES = sorted(path.parent for path in (ROOT / "src").glob("*/setup.py"))
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
PIP = {"fsspec", "hdf5plugin", "pyspacemouse", "supervisor", "zstandard"}
PIP |= {"accelerate", "cryptography", "peft", "safetensors", "scipy", "tensorboardX", "tokenizers", "torch"}
PIP |= {"mujoco", "pyarrow", "robosuite", "rosbags", "rerun", "transformers"}
PIP |= {"starlette", "uvicorn"}
# what apo_core brings to all that depend on it
CORE = {"numpy", "yaml"}
# started by name: nodes by the launch files, programs by the command line
STARTED = {
    "apo_bringup": {"apo_console", "apo_experiments", "apo_policy_node", "apo_recorder", "apo_teleop", "apo_vla"}
}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_declares_what_it_imports(package):
    declared = {element.text for element in xml.parse(package / "package.xml").getroot().iter("exec_depend")}
    names = imported_distributions(package) - PIP - {package.name}
    names -= CORE if package.name != "apo_core" else set()
    needed = {KEYS.get(name, name) for name in names} | STARTED.get(package.name, set())
    assert declared == needed
