"""What TensorBoard would read from the folder of a run."""

import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from apo_trainer.runs.tensorboard import TensorboardLog

METRICS = {
    "step": 1,
    "loss": 0.5,
    "z0": 0.25,
    "log_ratio": {"EXPERT": 1.5, "HUMAN": None},
    "weight": {"EXPERT": 0.75, "HUMAN": None},
}


def events(folder: Path) -> list[Event]:
    """Records of TFRecord files: length (8 bytes), its checksum (4), data, its checksum (4)."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def values(folder: Path) -> dict[tuple[int, str], object]:
    return {(e.step, v.tag): v for e in events(folder) for v in e.summary.value}


def test_every_number_is_a_curve_and_a_class_without_samples_is_left_out(tmp_path):
    with TensorboardLog(tmp_path) as log:
        log.step(METRICS, {})
        log.step({**METRICS, "step": 2, "loss": 0.375}, {})

    assert events(tmp_path)[0].file_version == "brain.Event:2"
    curves = {key: value.simple_value for key, value in values(tmp_path).items()}
    assert curves == {
        (step, tag): number
        for step, loss in ((1, 0.5), (2, 0.375))
        for tag, number in (("loss", loss), ("z0", 0.25), ("log_ratio/EXPERT", 1.5), ("weight/EXPERT", 0.75))
    }


def test_samples_are_histograms_at_the_first_step_and_every_nth(tmp_path):
    samples = {"loss": [-1.0, -1.0, 3.0], "weight": [0.5, 0.5, 0.5]}
    with TensorboardLog(tmp_path, histogram_steps=2) as log:
        for step in (1, 2, 3):
            log.step({"step": step, "loss": 0.0}, samples)

    found = {key: value.histo for key, value in values(tmp_path).items() if key[1].startswith("samples/")}
    assert sorted(found) == [(step, f"samples/{name}") for step in (1, 2) for name in ("loss", "weight")]
    histogram = found[1, "samples/loss"]
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (-1.0, 3.0, 3.0, 1.0)
    assert sum(histogram.bucket) == 3.0


def test_the_adapters_numbers_are_two_histograms(tmp_path):
    with TensorboardLog(tmp_path) as log:
        log.adapter(
            7,
            {
                "x.q_proj.lora_A.weight": np.array([[1.0, 2.0]], np.float32),
                "x.k_proj.lora_A.weight": np.array([[3.0]], np.float32),
                "x.q_proj.lora_B.weight": np.zeros((2, 1), np.float32),
            },
        )
    found = {key: (value.histo.num, value.histo.sum) for key, value in values(tmp_path).items()}
    assert found == {(7, "adapter/lora_A"): (3.0, 6.0), (7, "adapter/lora_B"): (2.0, 0.0)}


def test_a_run_that_goes_on_drops_what_it_does_again(tmp_path):
    with TensorboardLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.step({"step": step, "loss": 0.5}, {})
    with TensorboardLog(tmp_path, step=2) as log:
        log.step({"step": 3, "loss": 0.25}, {})

    restart = [e for e in events(tmp_path) if e.HasField("session_log")]
    assert [(e.step, e.session_log.status) for e in restart] == [(3, SessionLog.START)]
    assert len(list(tmp_path.iterdir())) == 2


def test_values_that_are_not_finite_make_no_histogram_fail(tmp_path):
    with TensorboardLog(tmp_path) as log:
        log.step(METRICS, {"loss": [float("nan"), float("inf")]})
    assert values(tmp_path)[1, "samples/loss"].histo.num == 1.0


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        TensorboardLog(tmp_path / "none")
