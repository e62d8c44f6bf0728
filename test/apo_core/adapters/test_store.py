"""The store gives back adapters whole, lists them and removes old ones."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS, edit_manifest
from calibration_samples import calibrate

from apo_core.adapters.manifest import fields_of
from apo_core.adapters.store import AdapterStore, AdapterVersion
from apo_core.errors import AdapterError


def test_an_adapter_comes_back_as_published(store: AdapterStore):
    made = store.publish(TENSORS, CONFIG, MANIFEST)

    version, tensors = store.read(1)

    assert version == made == AdapterVersion(**fields_of(MANIFEST), number=1, adapter_config=CONFIG)
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(tensors[name], value)


def test_files_are_those_of_peft_and_a_manifest(published: Path):
    assert sorted(os.listdir(published)) == ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    assert json.loads((published / "adapter_config.json").read_text()) == CONFIG


def test_an_empty_or_missing_store_has_only_the_base_policy(store: AdapterStore):
    assert store.versions() == []
    assert store.latest() == 0


def test_prune_keeps_the_newest_and_frees_no_number(store: AdapterStore):
    for _ in range(4):
        store.publish(TENSORS, CONFIG, MANIFEST)

    assert store.prune(keep=2) == [1, 2]
    assert store.versions() == [3, 4]
    assert store.publish(TENSORS, CONFIG, MANIFEST).number == 5


def test_prune_removes_the_calibrations_of_what_is_gone(store: AdapterStore):
    for _ in range(4):
        store.publish(TENSORS, CONFIG, MANIFEST)
    kept = [calibrate(store, 0), calibrate(store, 4)]
    kept.append(kept[0].with_name("notes.json"))
    kept[2].write_text("{}")
    gone = [calibrate(store, 1), calibrate(store, 2), kept[0].with_name("000009.json")]
    gone[2].write_text("{}")  # of a prune that was killed

    assert store.prune(keep=1) == [1, 2]
    assert all(path.exists() for path in kept) and not any(path.exists() for path in gone)
    gone[2].write_text("{}")
    assert store.prune(keep=1) == [] and not gone[2].exists()


def test_a_manifest_of_schema_version_1_is_read(store: AdapterStore, published: Path):
    path = published / "manifest.json"
    document = {**json.loads(path.read_text()), "schema_version": 1}
    del document["config"], document["verdict"], document["action_labels"]
    path.write_text(json.dumps(document))

    version, _ = store.read(1)
    assert (version.config, version.verdict, version.parent, version.action_labels) == ({}, None, 0, "rebinned")


def test_a_manifest_of_schema_version_2_is_of_the_old_action_labels(store: AdapterStore, published: Path):
    path = published / "manifest.json"
    document = {**json.loads(path.read_text()), "schema_version": 2}
    assert document.pop("action_labels") == "emitted"
    path.write_text(json.dumps(document))

    version, _ = store.read(1)
    assert (version.action_labels, version.config, version.verdict["accepted"]) == ("rebinned", MANIFEST.config, True)
    assert store.manifest(1)["action_labels"] == "rebinned"


@pytest.mark.parametrize("label", ["", "binned", None, ["emitted"]])
def test_unknown_action_labels_are_rejected(store: AdapterStore, published: Path, label):
    with pytest.raises(AdapterError, match=r"action_labels = .* must be 'emitted' or 'rebinned'"):
        store.publish(TENSORS, CONFIG, dataclasses.replace(MANIFEST, action_labels=label))
    edit_manifest(published, action_labels=label)
    with pytest.raises(AdapterError, match="action_labels"):
        store.read(1)


def test_the_manifest_alone_is_read_without_the_tensors(store: AdapterStore, published: Path):
    (published / "adapter_model.safetensors").unlink()

    manifest = store.manifest(1)
    assert (manifest["number"], manifest["method"], manifest["verdict"]["accepted"]) == (1, "apo", True)
    config = (published / "adapter_config.json").read_bytes()
    assert manifest["files"]["adapter_config.json"]["sha256"] == hashlib.sha256(config).hexdigest()


@pytest.mark.parametrize("version", [0, -1, 2**32, "1", "../000001", True, None])
def test_a_number_that_cannot_be_an_adapter_is_rejected(store: AdapterStore, published: Path, version):
    with pytest.raises(AdapterError, match=r"must be 1\.\."):
        store.read(version)


def test_a_missing_version_is_named_with_those_there(store: AdapterStore, published: Path):
    with pytest.raises(AdapterError, match=r"adapter 9 in .* does not exist; versions there: \[1\]"):
        store.read(9)


def test_non_finite_values_are_left_to_the_model_check(store: AdapterStore):
    store.publish({"a": np.array([np.nan], np.float32)}, CONFIG, MANIFEST)

    assert np.isnan(store.read(1)[1]["a"]).all()
