"""Whatever was tampered with in a published adapter is rejected with its number and the reason."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from adapter_samples import edit_manifest, flip_a_bit, replace_file
from safetensors.numpy import save

from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError


def truncate(folder: Path, _: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def change_a_bit(folder: Path, _: Path) -> None:
    flip_a_bit(folder)


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


def rejected_by_the_gate(folder: Path, _: Path) -> None:
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
        (truncate, "adapter_model.safetensors has .* bytes, the manifest lists"),
        (change_a_bit, "adapter_model.safetensors does not have the sha256"),
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
        (rejected_by_the_gate, "verdict.accepted = False must be true"),
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
def test_a_hostile_adapter_is_rejected_with_its_number_and_the_reason(
    store: AdapterStore, published: Path, tmp_path: Path, damage, message
):
    outside = tmp_path / "outside"
    outside.mkdir()
    damage(published, outside)

    with pytest.raises(AdapterError, match=message) as caught:
        store.read(1)
    assert "adapter 1 in " in str(caught.value)
