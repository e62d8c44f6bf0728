"""What the package installs beside its modules."""

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "apo_bringup"
_READ = """
import json, sys
from distutils.core import run_setup
print("DATA" + json.dumps(run_setup("setup.py", stop_after="init").data_files))
"""


@pytest.fixture(scope="module")
def data_files() -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", "import setuptools" + _READ], cwd=PACKAGE, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.partition("DATA")[2]))


@pytest.mark.parametrize("folder", ["launch", "config", "models/lift_base", "models/lift_flow"])
def test_the_folders_at_the_root_are_installed(data_files, folder):
    installed = {PurePosixPath(source).name for source in data_files[f"share/apo_bringup/{folder}"]}
    assert installed == {p.name for p in (ROOT / folder).iterdir() if p.is_file()}


def test_no_path_leaves_the_package(data_files):
    sources = [PurePosixPath(source) for files in data_files.values() for source in files]
    assert [str(s) for s in sources if s.is_absolute() or ".." in s.parts] == []
