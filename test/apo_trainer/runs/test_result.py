"""The result of a run as JSON."""

import json
from dataclasses import replace

from apo_episodes.labeling import LabelRule
from apo_trainer.data.report import DataReport
from apo_trainer.evaluation.gate import Verdict
from apo_trainer.runs.result import RunResult

BEGUN = RunResult("run", parent=0, serving=2, method="apo", planned_steps=140)


def test_result_of_run_that_failed_at_once():
    assert BEGUN.as_dict() == {
        "run_id": "run",
        "state": "FAILED",
        "version": None,
        "parent": 0,
        "serving": 2,
        "method": "apo",
        "message": "",
        "steps": 0,
        "planned_steps": 140,
        "seconds": 0.0,
        "verdict": None,
        "metrics": {},
        "data": {},
        "notes": [],
    }


def test_result_of_finished_run_is_plain_json():
    report = DataReport({"HUMAN": 3}, {}, {"HUMAN": 1}, None, 4, ("e1",), LabelRule(), {}, None, ())
    result = replace(
        BEGUN,
        verdict=Verdict(False, ("error rose",), (), {"held_out_l1": float("nan")}),
        data=report,
        notes=("few samples",),
        processes=1,
        batch={"HUMAN": 8},
        train_seconds=2.5,
    )
    document = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert document["verdict"] == {
        "accepted": False,
        "reasons": ["error rose"],
        "notes": [],
        "values": {"held_out_l1": None},
    }
    assert document["data"]["held_out_episodes"] == ["e1"]
    assert document["data"]["rejected_files"] == []
    assert (document["notes"], document["processes"]) == (["few samples"], 1)
    assert list(document)[-3:] == ["processes", "batch", "train_seconds"]
