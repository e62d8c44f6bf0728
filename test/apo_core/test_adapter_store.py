"""The store takes and gives back adapters whole, and refuses whatever was tampered with."""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from apo_core.adapter_promotion import Promotion
from apo_core.adapter_signature import make_keys, read_trusted_keys
from apo_core.adapter_store import AdapterStore, AdapterVersion, ManifestInput
from apo_core.errors import AdapterError

MANIFEST = ManifestInput(
    parent=0,
    base_model_sha256="a" * 64,
    statistics_sha256="b" * 64,
    contract_sha256="c" * 64,
    episode_ids=("ep-1", "ep-2"),
    config_sha256="d" * 64,
    metrics={"loss": 0.25, "steps": 40},
    created_utc="2026-01-02T03:04:05+00:00",
    method="apo",
    self_test={"tokens": [1, 2, 3]},
    config={"steps": 40, "method": "apo"},
    verdict={"accepted": True, "values": {"margin": 1.5}},
)
NOW = "2026-01-05T00:00:00+00:00"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
TENSORS = {
    "base_model.model.q_proj.lora_A.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "base_model.model.q_proj.lora_B.weight": np.array([[0.5, -0.5]], np.float16),
}


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


@pytest.fixture
def published(store: AdapterStore) -> Path:
    store.publish(TENSORS, CONFIG, MANIFEST)
    return store.path / "000001"


def edit_manifest(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replace_file(folder: Path, name: str, data: bytes) -> None:
    """A file with other content whose hash and size in the manifest are right."""
    (folder / name).write_bytes(data)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(folder, files=files)


def test_an_adapter_comes_back_as_published(store: AdapterStore):
    made = store.publish(TENSORS, CONFIG, MANIFEST)

    version, tensors = store.read(1)

    assert version == made == AdapterVersion(**_fields(MANIFEST), number=1, adapter_config=CONFIG)
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(tensors[name], value)


def _fields(manifest: ManifestInput) -> dict:
    return {field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest)}


def test_files_are_those_of_peft_and_a_manifest(published: Path):
    assert sorted(os.listdir(published)) == ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    assert json.loads((published / "adapter_config.json").read_text()) == CONFIG


def test_an_empty_or_missing_store_has_only_the_base_policy(store: AdapterStore):
    assert store.versions() == []
    assert store.latest() == 0


def test_numbers_ascend(store: AdapterStore):
    assert [store.publish(TENSORS, CONFIG, MANIFEST).number for _ in range(3)] == [1, 2, 3]
    assert store.versions() == [1, 2, 3]
    assert store.latest() == 3


def test_the_number_of_a_deleted_newest_adapter_is_not_used_again(store: AdapterStore):
    store.publish(TENSORS, CONFIG, MANIFEST)
    store.publish(TENSORS, CONFIG, MANIFEST)
    shutil.rmtree(store.path / "000002")

    assert store.latest() == 1
    assert store.publish(TENSORS, CONFIG, MANIFEST).number == 3


def test_prune_keeps_the_newest_and_frees_no_number(store: AdapterStore):
    for _ in range(4):
        store.publish(TENSORS, CONFIG, MANIFEST)

    assert store.prune(keep=2) == [1, 2]
    assert store.versions() == [3, 4]
    assert store.publish(TENSORS, CONFIG, MANIFEST).number == 5


def test_what_a_killed_publisher_left_is_not_listed_and_goes_with_the_next_one(store: AdapterStore):
    store.publish(TENSORS, CONFIG, MANIFEST)
    left = store.path / ".publishing-x1"
    left.mkdir()
    (left / "adapter_model.safetensors").write_bytes(b"half")

    assert store.versions() == [1]
    store.publish(TENSORS, CONFIG, MANIFEST)
    assert not left.exists()


def publish_many(path: str, count: int) -> None:
    store = AdapterStore(path)
    for _ in range(count):
        store.publish(TENSORS, CONFIG, MANIFEST)


def test_two_processes_publish_at_once_without_a_collision(store: AdapterStore):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=publish_many, args=(str(store.path), 10)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert store.versions() == list(range(1, 21))
    for number in store.versions():
        assert store.read(number)[0].number == number


def test_a_manifest_of_schema_version_1_is_read(store: AdapterStore, published: Path):
    path = published / "manifest.json"
    document = {**json.loads(path.read_text()), "schema_version": 1}
    del document["config"], document["verdict"]
    path.write_text(json.dumps(document))

    version, _ = store.read(1)
    assert (version.config, version.verdict, version.parent) == ({}, None, 0)


def test_the_manifest_alone_is_read_without_the_tensors(store: AdapterStore, published: Path):
    (published / "adapter_model.safetensors").unlink()

    manifest = store.manifest(1)
    assert (manifest["number"], manifest["method"], manifest["verdict"]["accepted"]) == (1, "apo", True)
    config = (published / "adapter_config.json").read_bytes()
    assert manifest["files"]["adapter_config.json"]["sha256"] == hashlib.sha256(config).hexdigest()


def test_before_the_first_promotion_the_base_policy_serves(store: AdapterStore):
    assert store.promotion() == Promotion()
    store.publish(TENSORS, CONFIG, MANIFEST, promote=False)
    assert store.promotion() == Promotion()


def test_a_publication_promotes(store: AdapterStore, published: Path):
    assert store.promotion() == Promotion(1, 1, (0,), MANIFEST.created_utc, "published by method apo")


def test_promotion_and_rollback(store: AdapterStore):
    for _ in range(3):
        store.publish(TENSORS, CONFIG, MANIFEST)

    assert store.promote(1, NOW, "calmer") == Promotion(1, 4, (0, 1, 2, 3), NOW, "calmer")
    assert store.promotion().number == 1
    assert [store.roll_back(NOW).number for _ in range(4)] == [3, 2, 1, 0]
    with pytest.raises(AdapterError, match="nothing to roll back to"):
        store.roll_back(NOW)
    assert store.promote(0, NOW).number == 0
    assert store.promotion().sequence == 9


def test_a_rollback_passes_over_an_adapter_that_is_damaged_or_gone(store: AdapterStore):
    for _ in range(4):
        store.publish(TENSORS, CONFIG, MANIFEST)
    (store.path / "000003" / "adapter_model.safetensors").write_bytes(b"")
    shutil.rmtree(store.path / "000002")

    assert store.roll_back(NOW).number == 1


def test_what_is_damaged_or_missing_is_not_promoted(store: AdapterStore, published: Path):
    flip_a_bit(published, published)
    with pytest.raises(AdapterError, match="does not have the sha256"):
        store.promote(1, NOW)
    with pytest.raises(AdapterError, match="does not exist"):
        store.promote(2, NOW)


def test_prune_keeps_what_is_promoted_and_what_a_rollback_brings_back(store: AdapterStore):
    for _ in range(6):
        store.publish(TENSORS, CONFIG, MANIFEST)
    store.promote(2, NOW)
    store.promote(3, NOW)

    assert store.prune(keep=1) == [1, 4, 5]
    assert store.versions() == [2, 3, 6]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("{"), "current.json is refused: current.json is not valid JSON"),
        (lambda path: path.write_text("[" * 60_000), "current.json is refused"),
        (lambda path: path.write_bytes(bytes(70_000)), "current.json has 70000 bytes, at most 65536"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "current.json is not a plain file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "current.json is not a plain file"),
    ],
)
def test_a_damaged_pointer_is_refused_and_nothing_is_guessed(store: AdapterStore, published: Path, damage, message):
    damage(store.path / "current.json")
    with pytest.raises(AdapterError, match=message):
        store.promotion()


def test_a_pointer_that_cannot_be_written_stays_as_it_was(
    store: AdapterStore, published: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_space(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(AdapterError, match=r"current.json cannot be written: .*No space left"):
        store.promote(0, NOW)
    monkeypatch.undo()
    assert store.promotion().number == 1


def test_what_a_trusted_key_has_signed_is_read(store: AdapterStore, tmp_path: Path):
    key = make_keys(tmp_path / "key", tmp_path / "pub")
    trusting = AdapterStore(store.path, read_trusted_keys(tmp_path / "pub"))
    store.publish(TENSORS, CONFIG, MANIFEST, key=key)
    store.publish(TENSORS, CONFIG, MANIFEST)

    assert trusting.read(1)[0].number == 1
    assert trusting.manifest(1)["number"] == 1
    assert [store.signer(version) for version in (1, 2)] == [key.fingerprint, ""]
    with pytest.raises(AdapterError, match=r"adapter 2 in .* is refused: it is not signed"):
        trusting.read(2)
    with pytest.raises(AdapterError, match="it is not signed"):
        trusting.promote(2, NOW)
    store.sign(2, key)
    assert trusting.read(2)[0].number == 2


def test_a_store_without_keys_reads_signed_adapters(store: AdapterStore, tmp_path: Path):
    store.publish(TENSORS, CONFIG, MANIFEST, key=make_keys(tmp_path / "key", tmp_path / "pub"))
    assert store.read(1)[0].number == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: edit_manifest(folder, method="kto"), "does not belong to its manifest.json"),
        (lambda folder: flip_a_bit(folder, folder), "does not have the sha256"),
        (lambda folder: (folder / "signature.json").unlink(), "it is not signed"),
        (lambda folder: (folder / "signature.json").write_bytes(bytes(5000)), "signature.json has 5000 bytes, at most"),
        (lambda folder: folder.rename(folder.with_name("000002")), "does not exist"),
    ],
)
def test_a_signed_adapter_that_was_changed_is_refused(store: AdapterStore, tmp_path: Path, damage, message):
    store.publish(TENSORS, CONFIG, MANIFEST, key=make_keys(tmp_path / "key", tmp_path / "pub"))
    damage(store.path / "000001")
    with pytest.raises(AdapterError, match=message):
        AdapterStore(store.path, read_trusted_keys(tmp_path / "pub")).read(1)


def test_a_signed_adapter_cannot_take_another_number(store: AdapterStore, tmp_path: Path):
    store.publish(TENSORS, CONFIG, MANIFEST, key=make_keys(tmp_path / "key", tmp_path / "pub"))
    (store.path / "000001").rename(store.path / "000007")
    with pytest.raises(AdapterError, match="number = 1 does not match the folder 000007"):
        AdapterStore(store.path, read_trusted_keys(tmp_path / "pub")).read(7)


def test_a_damaged_adapter_is_not_signed(store: AdapterStore, published: Path, tmp_path: Path):
    flip_a_bit(published, published)
    with pytest.raises(AdapterError, match="does not have the sha256"):
        store.sign(1, make_keys(tmp_path / "key", tmp_path / "pub"))
    assert not (published / "signature.json").exists()


def test_a_failed_publication_leaves_no_trace(store: AdapterStore, monkeypatch: pytest.MonkeyPatch):
    def no_space(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", no_space)
    with pytest.raises(AdapterError, match="No space left"):
        store.publish(TENSORS, CONFIG, MANIFEST)
    monkeypatch.undo()

    assert store.versions() == []
    assert not list(store.path.glob(".publishing-*"))


@pytest.mark.parametrize(
    ("tensors", "config", "changes", "message"),
    [
        ({}, CONFIG, {}, "tensors is empty"),
        ({"a": np.zeros(3)}, CONFIG, {}, "tensor 'a' must be a non-empty array of float32 or float16"),
        ({"a": np.zeros(0, np.float32)}, CONFIG, {}, "non-empty"),
        (TENSORS, {**CONFIG, "peft_type": "IA3"}, {}, "peft_type = 'IA3' must be 'LORA'"),
        (TENSORS, {**CONFIG, "r": 0}, {}, "r = 0 must be a rank of 1..1024"),
        (TENSORS, CONFIG, {"base_model_sha256": "xyz"}, "base_model_sha256 = 'xyz' is not 64 hex digits"),
        (TENSORS, CONFIG, {"metrics": {"loss": float("nan")}}, "metrics must be an object of plain finite JSON"),
        (TENSORS, CONFIG, {"parent": -1}, "parent = -1"),
        (TENSORS, CONFIG, {"episode_ids": "ep-1"}, "episode_ids must be a list"),
        (TENSORS, CONFIG, {"parent": 7}, "parent = 7 must be below number = 1"),
        (TENSORS, CONFIG, {"config": None}, "config must be an object of plain finite JSON"),
        (TENSORS, CONFIG, {"verdict": {"accepted": False}}, "verdict.accepted = False must be true: the gate has refu"),
        (TENSORS, CONFIG, {"verdict": {}}, "verdict.accepted = None must be true"),
        (TENSORS, CONFIG, {"verdict": [True]}, "verdict must be null or an object"),
    ],
)
def test_bad_input_is_not_published(store: AdapterStore, tensors, config, changes, message):
    with pytest.raises(AdapterError, match=message):
        store.publish(tensors, config, dataclasses.replace(MANIFEST, **changes))
    assert store.versions() == []


@pytest.mark.parametrize("version", [0, -1, 2**32, "1", "../000001", True, None])
def test_a_number_that_cannot_be_an_adapter_is_refused(store: AdapterStore, published: Path, version):
    with pytest.raises(AdapterError, match=r"must be 1\.\."):
        store.read(version)


def test_a_missing_version_is_named_with_those_there(store: AdapterStore, published: Path):
    with pytest.raises(AdapterError, match=r"adapter 9 in .* does not exist; versions there: \[1\]"):
        store.read(9)


def truncate(folder: Path, _: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def flip_a_bit(folder: Path, _: Path) -> None:
    path = folder / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def change_the_config(folder: Path, _: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(path.read_text().replace('"r": 2', '"r": 8'))


def remove_the_model(folder: Path, _: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def remove_the_manifest(folder: Path, _: Path) -> None:
    (folder / "manifest.json").unlink()


def add_a_pickle(folder: Path, _: Path) -> None:
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04N.")


def link_the_model(folder: Path, outside: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.rename(outside / "model")
    path.symlink_to(outside / "model")


def link_the_manifest(folder: Path, outside: Path) -> None:
    path = folder / "manifest.json"
    path.rename(outside / "manifest")
    path.symlink_to(outside / "manifest")


def link_the_folder(folder: Path, outside: Path) -> None:
    folder.rename(outside / "adapter")
    folder.symlink_to(outside / "adapter")


def file_for_a_folder(folder: Path, _: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


def pipe_for_the_config(folder: Path, _: Path) -> None:
    (folder / "adapter_config.json").unlink()
    os.mkfifo(folder / "adapter_config.json")


def folder_for_the_config(folder: Path, _: Path) -> None:
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").mkdir()


def bad_json(folder: Path, _: Path) -> None:
    (folder / "manifest.json").write_text('{"schema": ')


def nan_in_json(folder: Path, _: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("0.25", "NaN"))


def deep_json(folder: Path, _: Path) -> None:
    (folder / "manifest.json").write_text("[" * 200_000)


def list_for_an_object(folder: Path, _: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def not_text(folder: Path, _: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\xff\xfe\x00")


def huge_manifest(folder: Path, _: Path) -> None:
    os.truncate(folder / "manifest.json", 9 << 20)


def huge_model(folder: Path, _: Path) -> None:
    os.truncate(folder / "adapter_model.safetensors", 5 << 30)


def other_number(folder: Path, _: Path) -> None:
    edit_manifest(folder, number=2)


def refused_by_the_gate(folder: Path, _: Path) -> None:
    edit_manifest(folder, verdict={"accepted": False})


def replayed_under_a_new_number(folder: Path, _: Path) -> None:
    copy = folder.with_name("000002")
    shutil.copytree(folder, copy)
    shutil.rmtree(folder)
    copy.rename(folder.with_name("000001"))
    edit_manifest(folder, number=5)


def own_parent(folder: Path, _: Path) -> None:
    edit_manifest(folder, parent=1)


def other_schema(folder: Path, _: Path) -> None:
    edit_manifest(folder, schema_version=99)


def unknown_field(folder: Path, _: Path) -> None:
    edit_manifest(folder, run="rm")


def missing_field(folder: Path, _: Path) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    del document["contract_sha256"]
    path.write_text(json.dumps(document))


def traversal_in_files(folder: Path, outside: Path) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["../../outside/model"] = files.pop("adapter_model.safetensors")
    edit_manifest(folder, files=files)


def file_not_in_the_manifest(folder: Path, _: Path) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    del files["adapter_config.json"]
    edit_manifest(folder, files=files)


def negative_size(folder: Path, _: Path) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["adapter_config.json"]["bytes"] = -1
    edit_manifest(folder, files=files)


def huge_header(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_model.safetensors", (2**62).to_bytes(8, "little") + b"{}")


def pickle_for_the_model(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_model.safetensors", b"\x80\x04" + b"N." * 400)


def overlapping_tensors(folder: Path, _: Path) -> None:
    header = (
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'
    )
    replace_file(folder, "adapter_model.safetensors", len(header).to_bytes(8, "little") + header + bytes(12))


def doubles(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_model.safetensors", save({"a": np.zeros(2)}))


def integers(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_model.safetensors", save({"a": np.zeros(2, np.int64)}))


def no_tensor(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_model.safetensors", save({}))


def other_method(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_config.json", b'{"peft_type": "IA3", "r": 2}')


def boolean_rank(folder: Path, _: Path) -> None:
    replace_file(folder, "adapter_config.json", b'{"peft_type": "LORA", "r": true}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "adapter_model.safetensors has .* bytes, the manifest says"),
        (flip_a_bit, "adapter_model.safetensors does not have the sha256"),
        (change_the_config, "adapter_config.json does not have the sha256"),
        (remove_the_model, "adapter_model.safetensors is missing"),
        (remove_the_manifest, "manifest.json is missing"),
        (add_a_pickle, r"unexpected entries \['adapter_model.bin'\]"),
        (link_the_model, "adapter_model.safetensors is not a plain file"),
        (link_the_manifest, "manifest.json is not a plain file"),
        (link_the_folder, "is not a folder of its own"),
        (file_for_a_folder, "is not a folder of its own"),
        (pipe_for_the_config, "adapter_config.json is not a plain file"),
        (folder_for_the_config, "adapter_config.json is not a plain file"),
        (bad_json, "manifest.json is not valid JSON"),
        (nan_in_json, "NaN is not allowed"),
        (deep_json, "RecursionError"),
        (list_for_an_object, "manifest.json must hold a JSON object, not list"),
        (not_text, "manifest.json is not valid JSON"),
        (huge_manifest, "manifest.json has 9437184 bytes, at most 8388608"),
        (huge_model, "adapter_model.safetensors has 5368709120 bytes, at most 4294967296"),
        (other_number, "number = 2 does not match the folder 000001"),
        (replayed_under_a_new_number, "number = 5 does not match the folder 000001"),
        (refused_by_the_gate, "verdict.accepted = False must be true"),
        (own_parent, "parent = 1 must be below number = 1"),
        (other_schema, "this software reads 'apo.adapter' 1"),
        (unknown_field, "run is unknown"),
        (missing_field, "contract_sha256 is missing"),
        (traversal_in_files, "files must list exactly"),
        (file_not_in_the_manifest, "files must list exactly"),
        (negative_size, "files.adapter_config.json.bytes = -1"),
        (huge_header, "claims a header of 4611686018427387904 bytes"),
        (pickle_for_the_model, "claims a header of"),
        (overlapping_tensors, "is not a safetensors file"),
        (doubles, "tensor 'a' is float64"),
        (integers, "tensor 'a' is int64"),
        (no_tensor, "holds no tensor"),
        (other_method, "peft_type = 'IA3' must be 'LORA'"),
        (boolean_rank, "r = True must be a rank"),
    ],
)
def test_a_hostile_adapter_is_refused_with_its_number_and_the_reason(
    store: AdapterStore, published: Path, tmp_path: Path, damage, message
):
    outside = tmp_path / "outside"
    outside.mkdir()
    damage(published, outside)

    with pytest.raises(AdapterError, match=message) as caught:
        store.read(1)
    assert "adapter 1 in " in str(caught.value)


def test_non_finite_values_are_left_to_the_model_check(store: AdapterStore):
    store.publish({"a": np.array([np.nan], np.float32)}, CONFIG, MANIFEST)

    assert np.isnan(store.read(1)[1]["a"]).all()


def test_a_damaged_counter_is_not_guessed(store: AdapterStore, published: Path):
    (store.path / ".last_number").write_text("seven")

    with pytest.raises(AdapterError, match=r"\.last_number holds 'seven', not a number"):
        store.publish(TENSORS, CONFIG, MANIFEST)
