"""The document of a calibration, checked."""

import copy
import dataclasses

import pytest
from calibration_samples import CALIBRATION

from apo_core.adapters.calibration import document_faults, from_document, parse_calibration, replaces, to_document
from apo_core.adapters.files import to_json
from apo_core.adapters.signature import make_keys, read_trusted_keys
from apo_core.errors import AdapterError


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
    ("created_utc", "yesterday", "created_utc = 'yesterday' must be a time in ISO 8601"),
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


def content(**changes: object) -> bytes:
    return to_json(to_document(dataclasses.replace(CALIBRATION, **changes)))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:06+00:00"),
        ("2026-01-02T09:00:00+02:00", "2026-01-02T08:00:00+00:00"),  # 7:00 UTC
        ("2026-01-02", "2026-01-02T00:00:01Z"),
    ],
)
def test_the_later_one_replaces_the_earlier(earlier, later):
    assert replaces(content(created_utc=later), content(created_utc=earlier))
    assert not replaces(content(created_utc=earlier), content(created_utc=later))


def test_of_two_of_one_time_the_same_one_stays_in_either_order():
    one, other = content(horizon_s=2.0), content(horizon_s=3.0)
    assert replaces(one, other) != replaces(other, one)
    assert not replaces(one, one)


def test_another_signature_replaces_and_none_does_not(tmp_path):
    plain = to_document(CALIBRATION)
    first, second = (make_keys(tmp_path / f"{n}.key", tmp_path / f"{n}.pub") for n in "ab")
    signed, again = to_json(first.signed(plain)), to_json(second.signed(plain))
    assert replaces(signed, to_json(plain)) and not replaces(to_json(plain), signed)
    assert replaces(again, signed) and not replaces(signed, signed)
    assert parse_calibration(signed, read_trusted_keys(tmp_path / "a.pub")) == parse_calibration(signed) == CALIBRATION
    with pytest.raises(AdapterError, match="it is signed by key"):
        parse_calibration(again, read_trusted_keys(tmp_path / "a.pub"))
    with pytest.raises(AdapterError, match="does not belong to its content"):
        damaged = signed.replace(b'"threshold": 0.75', b'"threshold": 1e9')
        parse_calibration(damaged, read_trusted_keys(tmp_path / "a.pub"))
