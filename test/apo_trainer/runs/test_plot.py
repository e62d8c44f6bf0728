"""The picture of a run."""

import json

import cv2
import numpy as np
import pytest

from apo_trainer.runs.plot import read_metrics, write_report

VERDICT = {"accepted": False, "reasons": ["too bad"], "notes": [], "values": {"held_out_l1": None, "held_out_n": 3}}


def rows(count: int) -> list[dict]:
    return [
        {
            "step": step,
            "loss": 1.0 / step,
            "z0": 0.1 * step,
            "log_ratio": {"EXPERT": 0.1 * step, "HUMAN": None, "UNDESIRABLE": -0.2 * step if step % 2 else None},
            "weight": {"EXPERT": 0.5, "HUMAN": None, "UNDESIRABLE": None},
            "l1": {"EXPERT": 0.1, "HUMAN": None, "UNDESIRABLE": 0.2},
        }
        for step in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("verdict", [None, VERDICT])
def test_a_run_of_any_length_gives_a_picture(tmp_path, count, verdict):
    write_report(tmp_path / "report.png", rows(count), "a run", verdict)
    image = cv2.imread(str(tmp_path / "report.png"))
    assert image.shape == (1000, 1600, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]


def test_the_curves_are_in_the_picture(tmp_path):
    write_report(tmp_path / "none.png", rows(0), "a run", None)
    write_report(tmp_path / "some.png", rows(40), "a run", None)
    none, some = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("none", "some"))
    # matplotlib's tab:red, as OpenCV orders it, belongs to undesirable steps
    red = np.array([40, 39, 214])
    assert (some == red).all(axis=-1).any()
    assert not (none == red).all(axis=-1).any()


def test_metrics_are_read_up_to_a_line_that_was_cut_off(tmp_path):
    lines = [json.dumps(row) for row in rows(3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines)[:-5])
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
