"""The file of a calibration: written whole, read without trust, bound to one policy."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS
from calibration_samples import CALIBRATION, POLICY, calibrate

from apo_core.adapters.calibration import PolicyIdentity, calibrated, to_document
from apo_core.adapters.calibration_file import identity, read_calibration, write_calibration
from apo_core.adapters.signature import make_keys, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError


def test_a_calibration_comes_back_as_written(tmp_path):
    path = write_calibration(tmp_path, CALIBRATION)

    assert path == tmp_path / "help" / "000003.json"
    assert read_calibration(tmp_path, POLICY) == CALIBRATION


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


def test_with_trusted_keys_an_unsigned_one_is_rejected(tmp_path):
    key = make_keys(tmp_path / "a.key", tmp_path / "a.pub")
    trusted = read_trusted_keys(tmp_path / "a.pub")
    write_calibration(tmp_path, CALIBRATION)
    with pytest.raises(AdapterError, match=r"it is not signed, .*; make it anew: ./apo help calibrate --key FILE"):
        read_calibration(tmp_path, POLICY, trusted)
    write_calibration(tmp_path, CALIBRATION, key)
    assert read_calibration(tmp_path, POLICY, trusted) == read_calibration(tmp_path, POLICY) == CALIBRATION


def test_files_of_policies_are_listed_by_number(tmp_path):
    store = AdapterStore(tmp_path)
    assert calibrated(store.path) == []
    store.publish(TENSORS, CONFIG, MANIFEST)
    calibrate(store, 1)
    calibrate(store, 0)
    (tmp_path / "help" / "7.json").write_text("{}")
    (tmp_path / "help" / "000003.json.new").write_text("{}")
    assert calibrated(store.path) == [0, 1]
