"""The file of a calibration: written whole, read without trust, bound to one policy."""

import copy
import dataclasses
import json
import os
from pathlib import Path

import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS

from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.help.document import (
    HelpCalibration,
    PolicyIdentity,
    document_faults,
    from_document,
    identity,
    read_calibration,
    to_document,
    write_calibration,
)
from apo_core.help.score import HelpScore, Weight

POLICY = PolicyIdentity(3, "1" * 64, "a" * 64, "b" * 64, "c" * 64)
CALIBRATION = HelpCalibration(
    POLICY,
    replan_steps=2,
    action_horizon=0,
    score=HelpScore({"entropy": Weight(2.0, 0.5, 1.25)}, -1.0, 0.75),
    false_alarms=0.1,
    horizon_s=2.0,
    measures={"calibrated": {"auroc": [0.9, 0.8, 0.95]}},
    created_utc="2026-01-02T03:04:05+00:00",
)


def test_a_calibration_comes_back_as_written(tmp_path):
    path = write_calibration(tmp_path, CALIBRATION)

    assert path == tmp_path / "help" / "000003.json"
    assert read_calibration(tmp_path, POLICY) == CALIBRATION


def test_the_document_has_the_hashes_of_its_policy():
    document = to_document(CALIBRATION)
    assert (document["schema"], document["schema_version"]) == ("apo.help_calibration", 1)
    assert document["policy"] == {
        "number": 3,
        "adapter_sha256": "1" * 64,
        "base_model_sha256": "a" * 64,
        "statistics_sha256": "b" * 64,
        "contract_sha256": "c" * 64,
    }


def test_without_a_file_there_is_no_calibration(tmp_path):
    assert read_calibration(tmp_path / "nowhere", POLICY) is None
    write_calibration(tmp_path, CALIBRATION)
    assert read_calibration(tmp_path, dataclasses.replace(POLICY, number=4)) is None


@pytest.mark.parametrize("name", ["adapter_sha256", "base_model_sha256", "statistics_sha256", "contract_sha256"])
def test_a_calibration_of_another_policy_is_rejected(tmp_path, name):
    write_calibration(tmp_path, CALIBRATION)
    with pytest.raises(AdapterError, match=f"another policy than adapter 3: {name} = .* is not 99999.*help calibrate"):
        read_calibration(tmp_path, dataclasses.replace(POLICY, **{name: "9" * 64}))


def test_an_identity_has_the_hash_of_the_published_weights(tmp_path):
    store = AdapterStore(tmp_path)
    store.publish(TENSORS, CONFIG, MANIFEST)
    sha256 = json.loads((tmp_path / "000001/manifest.json").read_text())["files"]["adapter_model.safetensors"]["sha256"]

    assert identity(store, 1, "a" * 64, "b" * 64, "c" * 64) == PolicyIdentity(1, sha256, "a" * 64, "b" * 64, "c" * 64)
    assert identity(store, 0, "a" * 64, "b" * 64, "c" * 64).adapter_sha256 == ""
    with pytest.raises(AdapterError, match="does not exist"):
        identity(store, 2, "a" * 64, "b" * 64, "c" * 64)


def test_the_store_beside_a_calibration_stays_sound(tmp_path):
    store = AdapterStore(tmp_path)
    store.publish(TENSORS, CONFIG, MANIFEST)
    write_calibration(
        tmp_path, dataclasses.replace(CALIBRATION, policy=identity(store, 1, "a" * 64, "b" * 64, "c" * 64))
    )

    assert store.versions() == [1]
    assert store.read(1)[0].number == 1


def changed(path: str, value: object) -> dict:
    document = copy.deepcopy(to_document(CALIBRATION))
    *folders, name = path.split(".")
    inner = document
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    return document


WRONG = [
    ("schema", "apo.adapter", "schema is 'apo.adapter' 1, this software reads 'apo.help_calibration' 1"),
    ("features_version", 2, "features_version = 2, this software computes version 1"),
    ("extra", 1, "extra is unknown"),
    ("policy", [], "policy must be an object"),
    ("policy.number", -1, "policy.number = -1 must be 0 (base policy) or an adapter number"),
    ("policy.adapter_sha256", "", "policy.adapter_sha256 = '' must be 64 hex digits"),
    ("policy.base_model_sha256", "A" * 64, f"policy.base_model_sha256 = '{'A' * 64}' must be 64 hex digits"),
    ("policy.path", "x", "policy.path is unknown"),
    ("replan_steps", 0, "replan_steps = 0 must be 1..1000"),
    ("replan_steps", True, "replan_steps = True must be 1..1000"),
    ("action_horizon", 1.5, "action_horizon = 1.5 must be 0..1000"),
    ("weights", {}, "weights must be an object with at least one feature"),
    ("weights.joy", {"mean": 0, "scale": 1, "weight": 1}, "weights.joy is no feature"),
    ("weights.entropy", {"mean": 0}, "weights.entropy must hold mean, scale and weight"),
    ("weights.entropy.weight", "1", "weights.entropy must hold numbers of -1e+09..1e+09"),
    ("weights.entropy.mean", 1e300, "weights.entropy must hold numbers of -1e+09..1e+09"),
    ("weights.entropy.scale", 0.0, "weights.entropy.scale = 0.0 must be at least 1e-09"),
    ("bias", None, "bias = None must be a number of -1e+09..1e+09"),
    ("threshold", float("nan"), "threshold = nan must be a number of -1e+09..1e+09"),
    ("false_alarms", 1.0, "false_alarms = 1.0 must be above 0 and below 1"),
    ("horizon_s", -1.0, "horizon_s = -1.0 must be a number of 0..3600"),
    ("measures", {"a": {"b": {"c": {"d": {"e": 1}}}}}, "measures must be an object of plain finite JSON values"),
    ("created_utc", "x" * 300, "created_utc must be a text of 1..256 characters"),
]


@pytest.mark.parametrize(("path", "value", "fault"), WRONG, ids=[f"{path}={str(v)[:12]}" for path, v, _ in WRONG])
def test_a_wrong_value_is_named(path, value, fault):
    faults = document_faults(changed(path, value))
    assert len(faults) == 1
    assert faults[0].startswith(fault)
    with pytest.raises(AdapterError):
        from_document(changed(path, value))


def test_a_missing_key_is_named():
    document = to_document(CALIBRATION)
    del document["threshold"], document["bias"]
    assert document_faults(document) == ["bias is missing", "threshold is missing"]


def test_a_base_policy_has_no_hash_of_an_adapter():
    faults = document_faults(changed("policy.number", 0))
    assert faults == [f"policy.adapter_sha256 = '{'1' * 64}' must be empty"]


def test_a_calibration_that_is_not_valid_is_not_written(tmp_path):
    endless = dataclasses.replace(CALIBRATION, score=dataclasses.replace(CALIBRATION.score, threshold=float("inf")))
    with pytest.raises(AdapterError, match="cannot be written: threshold = inf must be a number"):
        write_calibration(tmp_path, endless)
    assert list(tmp_path.iterdir()) == []


def hostile(folder: Path, kind: str) -> None:
    """Puts something else in the place of a calibration."""
    path = folder / "help" / "000003.json"
    path.unlink()
    if kind == "link":
        (folder / "elsewhere.json").write_text(json.dumps(to_document(CALIBRATION)))
        path.symlink_to(folder / "elsewhere.json")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.write_text("[" * (1 << 17))
    elif kind == "deep":
        path.write_text("[" * 60000)
    elif kind == "nan":
        path.write_text(json.dumps({**to_document(CALIBRATION), "bias": float("nan")}))
    else:
        path.write_text('{"schema": "apo.help_calibration"')


@pytest.mark.parametrize("kind", ["link", "pipe", "huge", "deep", "nan", "torn"])
def test_a_hostile_file_is_rejected(tmp_path, kind):
    write_calibration(tmp_path, CALIBRATION)
    hostile(tmp_path, kind)
    with pytest.raises(AdapterError, match=r"000003.json is rejected: .*; make it anew: ./apo help calibrate"):
        read_calibration(tmp_path, POLICY)


def test_a_link_in_place_of_the_folder_is_rejected(tmp_path):
    write_calibration(tmp_path / "other", CALIBRATION)
    (tmp_path / "help").symlink_to(tmp_path / "other" / "help")
    with pytest.raises(AdapterError, match="is not a folder of its own"):
        read_calibration(tmp_path, POLICY)
