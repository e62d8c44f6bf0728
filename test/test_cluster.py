"""The templates for clusters: they begin, resume and end a run as `apo train` does. No cluster is needed."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from apo_trainer.train import main

CLUSTER = Path(__file__).resolve().parents[1] / "docker" / "cluster"
SCRIPTS = ("train.sh", "train.sbatch")
JOB = yaml.safe_load((CLUSTER / "train-job.yaml").read_text())
(CONTAINER,) = JOB["spec"]["template"]["spec"]["containers"]
LAUNCHER = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$CALL"
if [ "$STATE" = INTERRUPTED ]; then
    trap 'ended=1' TERM
    touch "$RUNNING"
    while [ -z "${ended:-}" ]; do sleep 0.01; done
fi
[ -z "$STATE" ] || printf '{"state": "%s"}' "$STATE" > "$RUN/result.json"
exit 1
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Checkout:
    """A copy of train.sh in a checkout with an environment of its own, whose launcher leaves what a run would."""

    def __init__(self, folder: Path):
        self.folder, self.run = folder, folder / "runs" / "first"
        self.run.mkdir(parents=True)
        self.script = folder / "docker" / "cluster" / "train.sh"
        self.script.parent.mkdir(parents=True)
        shutil.copy(CLUSTER / "train.sh", self.script)
        program(folder / "scripts" / "env.sh", f'export PATH="{folder}/bin:$PATH"\n')
        program(folder / "bin" / "accelerate", LAUNCHER)
        self.running, self._call = folder / "running", folder / "call"

    def start(self, state: str, *options: str, **variables: str) -> subprocess.Popen:
        """`state`: that the run ends with; empty: it leaves none."""
        files = {"CALL": str(self._call), "RUN": str(self.run), "RUNNING": str(self.running)}
        environment = {**os.environ, "PROCESSES": "1", "STATE": state, **files, **variables}
        return subprocess.Popen([self.script, self.run, *options], env=environment)

    @property
    def call(self) -> list[str] | None:
        """Arguments of the launcher; None where it was not called."""
        return self._call.read_text().splitlines() if self._call.exists() else None


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize(
    ("state", "status"), [("PUBLISHED", 0), ("DONE", 0), ("FAILED", 2), ("REJECTED", 3), ("", 130)]
)
def test_a_run_ends_with_the_status_of_its_state(checkout, state, status):
    assert checkout.start(state, "--steps", "3").wait(60) == status
    assert checkout.call == [
        "launch",
        "--num_processes",
        "1",
        "--num_machines",
        "1",
        "-m",
        "apo_trainer.train",
        "--run-dir",
        str(checkout.run),
        "--run-id",
        "first",
        "--steps",
        "3",
    ]


def test_several_devices_and_machines_are_launched_together(checkout):
    several = {"PROCESSES": "4", "MACHINES": "2", "RANK": "1", "MAIN_ADDRESS": "node7"}
    assert checkout.start("PUBLISHED", **several).wait(60) == 0
    assert checkout.call[1:15] == [
        "--num_processes",
        "8",
        "--num_machines",
        "2",
        "--multi_gpu",
        "--machine_rank",
        "1",
        "--main_process_ip",
        "node7",
        "--main_process_port",
        "29500",
        "-m",
        "apo_trainer.train",
        "--run-dir",
    ]


def test_a_run_that_began_goes_on(checkout):
    (checkout.run / "run.json").write_text("{}")
    (checkout.run / "result.json").write_text('{"state": "INTERRUPTED"}')
    assert checkout.start("PUBLISHED", "--steps", "3").wait(60) == 0
    assert checkout.call[-2:] == ["--resume", str(checkout.run)]


@pytest.mark.parametrize(("state", "status"), [("PUBLISHED", 0), ("REJECTED", 3)])
def test_a_run_that_has_ended_is_not_begun_again(checkout, state, status):
    (checkout.run / "result.json").write_text(json.dumps({"state": state}))
    assert checkout.start("FAILED").wait(60) == status
    assert checkout.call is None


def test_the_run_may_end_its_step_after_a_signal(checkout):
    process = checkout.start("INTERRUPTED")
    limit = time.monotonic() + 60.0
    while not checkout.running.exists():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert json.loads((checkout.run / "result.json").read_text()) == {"state": "INTERRUPTED"}


def test_the_slurm_job_runs_a_task_on_each_node(tmp_path):
    # more than a pipe holds
    program(tmp_path / "bin" / "scontrol", "#!/bin/bash\nseq -f node%g 7 20000\n")
    program(tmp_path / "bin" / "srun", '#!/bin/bash\nshift\nSLURM_NODEID=1 exec "$@"\n')
    program(
        tmp_path / "docker" / "cluster" / "train.sh",
        '#!/bin/bash\nprintf "%s\\n" "$MACHINES" "$RANK" "$PROCESSES" "$MAIN_ADDRESS" "$@"\n',
    )
    slurm = {"SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_NODELIST": "n", "SLURM_JOB_ID": "12"}
    environment = {**os.environ, **slurm, "APO_ROOT": str(tmp_path), "APO_DATA": "/shared"}
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    command = ["bash", str(CLUSTER / "train.sbatch"), "--steps", "3"]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed[:5] == ["2", "1", "4", "node7", "/shared/training/slurm-12"]
    assert printed[5:9] == ["--checkpoint", "/shared/checkpoint", "--episodes", "/shared/episodes"]
    assert printed[-2:] == ["--steps", "3"]


def test_the_options_of_the_job_are_those_of_the_trainer(capsys):
    script, run, *options = CONTAINER["command"]
    assert script.endswith("/docker/cluster/train.sh") and Path(run).name == JOB["metadata"]["name"]
    # an option that does not exist would end the process
    assert main([*options, "--run-dir", run, "--run-id", Path(run).name]) == 2
    assert "/data/episodes" in capsys.readouterr().err


def test_the_job_asks_for_a_process_on_each_device():
    (processes,) = [int(each["value"]) for each in CONTAINER["env"] if each["name"] == "PROCESSES"]
    assert CONTAINER["resources"]["limits"]["nvidia.com/gpu"] == processes
    (rule, _) = JOB["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": CONTAINER["name"], "operator": "In", "values": [2, 3]}


def test_the_job_fits_the_schemas_of_kubernetes():
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is missing: pip install -r requirements/cluster.in"
    )
    validate.validate(JOB, "1.31", strict=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_free_of_what_a_linter_finds(name):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing: pip install -r requirements/cluster.in")
    done = subprocess.run(["shellcheck", str(CLUSTER / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
