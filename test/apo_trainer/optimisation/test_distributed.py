"""Several processes share a batch, and train what one process would."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from apo_core.adapters.store import AdapterStore
from apo_core.errors import ConfigError
from apo_trainer import train
from apo_trainer.optimisation.distributed import Processes


@pytest.fixture
def arguments(arguments, tmp_path):
    """(run) -> arguments of a run in a folder of its own, where nothing of another run is at hand."""

    def make(run: str) -> list[str]:
        (tmp_path / run).mkdir()
        settings = {"steps": 12, "kl_pairs": 3, "resume_every_steps": 5}
        # muon rounds to bfloat16, where two sums of the same rows may part
        return arguments(run, folder=tmp_path / run, optimizer="adamw", **settings)

    return make


def launch(*arguments) -> subprocess.CompletedProcess:
    """`accelerate launch` with two processes on the CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # with --cpu it would start one
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port), "-m", "apo_trainer.train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def curve(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one_does_on_the_same_batch(arguments, tmp_path):
    assert train.main(arguments("one")) == 0
    done = launch(*arguments("two"))
    assert done.returncode == 0, done.stderr[-2000:]
    # what is printed comes from one of them only
    events = [json.loads(line)["event"] for line in done.stdout.splitlines() if line.startswith("{")]
    assert (events.count("start"), events.count("result")) == (1, 1)
    results = [json.loads((tmp_path / run / run / "result.json").read_text()) for run in ("one", "two")]
    assert [result["processes"] for result in results] == [1, 2]
    one, two = (curve(tmp_path / run / run) for run in ("one", "two"))
    for name in ("loss", "z0", "grad_norm"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-3, abs=1e-5)
    assert [row["l1"] for row in two] == [pytest.approx(row["l1"], abs=1e-3) for row in one]
    (_, alone), (_, together) = (AdapterStore(tmp_path / run / "adapters").read(1) for run in ("one", "two"))
    assert all(np.allclose(alone[name], together[name], atol=1e-3) for name in alone)


def test_one_process_has_the_whole_batch():
    alone = Processes()
    assert alone.rows(7) == range(7)
    assert alone.is_main
    assert not alone.any(False)


def test_each_process_has_its_part_and_an_uneven_batch_is_rejected():
    group = Processes()
    group.rank, group.count = 1, 2
    assert group.rows(8) == range(4, 8)
    with pytest.raises(ConfigError, match=r"batch_size = 7 must be a multiple of the 2 processes"):
        group.rows(7)
