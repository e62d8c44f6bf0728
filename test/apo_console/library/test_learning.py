"""Adapters and training runs on disk."""

import json

import numpy as np
import pytest

from apo_console.library.learning import LearningLibrary
from apo_core.adapters.manifest import ManifestInput
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError, ApoError

NOW = "2026-11-30T08:00:00+00:00"


def publish(store, parent, promote=True):
    made_from = ManifestInput(parent, "a" * 64, "b" * 64, "c" * 64, ("e1",), "d" * 64, {}, NOW, "apo")
    tensors = {"base_model.model.x.lora_A.weight": np.ones((2, 3), np.float32)}
    return store.publish(tensors, {"peft_type": "LORA", "r": 2}, made_from, promote=promote).number


@pytest.fixture
def store(tmp_path):
    return AdapterStore(tmp_path / "adapters")


@pytest.fixture
def library(tmp_path):
    return LearningLibrary(tmp_path / "adapters", tmp_path / "training")


@pytest.fixture
def run(tmp_path):
    """(name, files) -> a folder of a run."""

    def make(name, **files):
        folder = tmp_path / "training" / name
        folder.mkdir(parents=True)
        for file, content in {"run_json": "{}", **files}.items():
            stem, _, suffix = file.rpartition("_")
            (folder / f"{stem}.{suffix}").write_text(content)

    return make


def test_an_empty_store_serves_the_base_policy(library):
    found = library.adapters()
    assert [row["version"] for row in found["adapters"]] == [0] and found["serving"] == 0
    assert library.runs() == []


def test_promotion_and_rollback_change_what_is_served(library, store):
    publish(store, 0)
    publish(store, 1, promote=False)
    assert library.adapters()["serving"] == 1
    assert library.promote(2, "better (Ada)", NOW) == "adapter 2 is promoted"
    found = library.adapters()
    assert (found["serving"], found["reason"], found["changed"]) == (2, "better (Ada)", NOW)
    assert library.roll_back("worse (Ada)", NOW) == "adapter 1 is promoted again"
    assert library.promote(0, "", NOW) == "the base policy is promoted"
    assert store.promotion().number == 0


def test_an_adapter_that_is_missing_is_not_promoted(library, store):
    publish(store, 0)
    with pytest.raises(AdapterError, match="does not exist"):
        library.promote(7, "", NOW)
    assert store.promotion().number == 1


def test_a_damaged_adapter_is_shown_with_its_fault(library, store, tmp_path):
    publish(store, 0)
    (tmp_path / "adapters" / "000001" / "manifest.json").write_text("{}")
    (_, row) = library.adapters()["adapters"]
    assert "is missing" in row["fault"]


def test_runs_are_listed_the_newest_first(library, run):
    result = {
        "state": "REJECTED",
        "version": None,
        "parent": 1,
        "method": "apo",
        "steps": 9,
        "planned_steps": 9,
        "seconds": 4.5,
        "message": "",
        "notes": ["few"],
        "verdict": {"accepted": False, "reasons": ["it fell"], "values": {"x": float("nan")}},
    }
    run("20260101T000000.000-from-0", result_json=json.dumps(result))
    run("20260102T000000.000-from-1")
    going_on, ended = library.runs()
    assert (going_on["id"], going_on["state"]) == ("20260102T000000.000-from-1", None)
    assert (ended["state"], ended["accepted"], ended["reasons"], ended["notes"]) == (
        "REJECTED",
        False,
        ["it fell"],
        ["few"],
    )


def test_curves_leave_out_a_line_that_is_being_written(library, run):
    run("r1", metrics_jsonl='{"step": 1, "loss": NaN}\n{"step": 2, "loss": 0.5}\n{"step": 3, "lo')
    assert library.metrics("r1") == {"step": [1.0, 2.0], "loss": [None, 0.5]}


def test_a_run_before_its_first_step_has_no_curve(library, run):
    run("r1")
    assert library.metrics("r1") == {}


@pytest.mark.parametrize("name", ["r2", "..", "../training/r1", "", "a/b"])
def test_no_name_leads_out_of_the_folder(library, run, name):
    run("r1")
    with pytest.raises(ApoError, match="is not in"):
        library.metrics(name)
