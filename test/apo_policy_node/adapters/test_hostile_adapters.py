"""Damaged or forged adapters: each is rejected with its reason, and the one before serves unchanged to the bit."""

import dataclasses
import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from adapter_samples import plain_manifest
from small_contract import contract_data

torch = pytest.importorskip("torch")

from safetensors import numpy as safetensors_numpy  # noqa: E402
from small_policy import plain_statistics, random_adapter, random_model, small_config  # noqa: E402

from apo_core.adapters.signature import make_keys, read_trusted_keys  # noqa: E402
from apo_core.adapters.store import AdapterStore  # noqa: E402
from apo_core.contract.contract import Contract, contract_from_dict  # noqa: E402
from apo_core.policy_probe import PROBE, record  # noqa: E402
from apo_core.types import Observation  # noqa: E402
from apo_policy_node.adapters.reloader import AdapterReloader, ReloadState  # noqa: E402
from apo_vla.inputs.prompt import build_tokenizer  # noqa: E402
from apo_vla.lora.adapter import LoraSettings, adapter_config, check_adapter_config  # noqa: E402
from apo_vla.policy import VlaPolicy  # noqa: E402
from apo_vla.serving.policy import ServingPolicy  # noqa: E402

LORA = LoraSettings(rank=2, alpha=4.0)
INSTRUCTION = "lift the cube"
MODEL, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "manifest.json"
SIGNATURE = "signature.json"


@pytest.fixture(scope="module")
def robot() -> Contract:
    """One camera of 16 pixels and a gripper."""
    data = contract_data(
        rate_hz=20.0,
        images={"front": {"topic": "front", "height": 16, "width": 16, "encoding": "rgb8"}},
        state={"width": {"topic": "width", "type": "std_msgs/msg/Float32", "size": 1, "unit": "m"}},
    )
    return contract_from_dict(data, "robot")


@pytest.fixture(scope="module")
def loaded(robot) -> VlaPolicy:
    """A very small model of random weights."""
    model = random_model(small_config(state_keys=("width",), state_size=1, chunk=1, mlp=16), seed=1)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim >= 2:
                value.mul_(3.0)
    statistics = plain_statistics(robot, ["width"], normalised=7)
    return VlaPolicy(model, build_tokenizer([INSTRUCTION]), statistics, "a" * 64, "b" * 64, LORA)


@pytest.fixture(scope="module")
def policy(loaded) -> ServingPolicy:
    return ServingPolicy(loaded)


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple:
    """The trainer's key, and the file of public keys of the robot."""
    folder = tmp_path_factory.mktemp("keys")
    return make_keys(folder / "private.pem", folder / "public.pem"), folder / "public.pem"


@pytest.fixture
def store(tmp_path, keys) -> AdapterStore:
    """A store that requires a signature."""
    return AdapterStore(tmp_path / "adapters", read_trusted_keys(keys[1]))


@pytest.fixture
def reloader(policy, store, robot) -> AdapterReloader:
    policy.use_base()
    check = partial(check_adapter_config, LORA)
    return AdapterReloader(policy, policy.second_slot(), store, robot, INSTRUCTION, check, lambda: 0.0)


@pytest.fixture
def make_tensors(loaded) -> Callable[..., dict[str, np.ndarray]]:
    """(seed) -> an adapter of the policy's shapes."""
    return partial(random_adapter, loaded.model)


@pytest.fixture
def publish(store, keys, make_tensors, robot) -> Callable[..., Path]:
    """Publishes an adapter, signed, as its maker would; returns its folder."""

    def make(tensors=None, config=None, **changes) -> Path:
        tensors = make_tensors(2) if tensors is None else tensors
        manifest = plain_manifest(contract_sha256=robot.sha256, **changes)
        version = store.publish(tensors, config or adapter_config(LORA), manifest, key=keys[0]).number
        return store.path / f"{version:06d}"

    return make


@pytest.fixture
def forge(keys) -> Callable[..., None]:
    """Replaces a file of an adapter, with sizes, hashes and signature that fit: only its content is wrong."""

    def replace(folder: Path, name: str, data: bytes) -> None:
        (folder / name).write_bytes(data)
        document = json.loads((folder / MANIFEST).read_text())
        if name != MANIFEST:
            document["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            (folder / MANIFEST).write_text(json.dumps(document))
        (folder / SIGNATURE).write_bytes(keys[0].sign((folder / MANIFEST).read_bytes()))

    return replace


@pytest.fixture
def seen() -> Observation:
    image = np.random.default_rng(3).integers(0, 255, (16, 16, 3), np.uint8)
    return Observation(1_000, {"front": image}, {"width": np.array([0.1], np.float32)}, INSTRUCTION)


class Runs:
    """Unpickling this writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "ran")


def first(tensors: dict[str, np.ndarray]) -> str:
    """Name of a tensor."""
    return next(iter(tensors))


# Each takes the fixtures and returns the folder of an adapter.


def truncated(publish, forge, **_) -> Path:
    folder = publish()
    forge(folder, MODEL, (folder / MODEL).read_bytes()[:-7])
    return folder


def of_wrong_rank(publish, make_tensors, **_) -> Path:
    def wider(name: str, value: np.ndarray) -> np.ndarray:
        return np.repeat(value, 2, axis=0 if "lora_A" in name else 1)

    tensors = {name: wider(name, value) for name, value in make_tensors(2).items()}
    return publish(tensors, adapter_config(dataclasses.replace(LORA, rank=4)))


def of_wrong_rank_with_the_right_one_in_its_config(publish, make_tensors, **_) -> Path:
    tensors = {n: np.repeat(v, 2, axis=0 if "lora_A" in n else 1) for n, v in make_tensors(2).items()}
    return publish(tensors)


def of_wrong_base(publish, **_) -> Path:
    return publish(base_model_sha256="c" * 64)


def not_a_number(publish, make_tensors, **_) -> Path:
    tensors = make_tensors(2)
    tensors[first(tensors)][0, 0] = np.nan
    return publish(tensors)


def renamed_tensor(publish, make_tensors, **_) -> Path:
    tensors = make_tensors(2)
    tensors[first(tensors).replace("q_proj", "z_proj")] = tensors.pop(first(tensors))
    return publish(tensors)


def extra_tensor(publish, make_tensors, **_) -> Path:
    return publish({**make_tensors(2), "base_model.model.action_head.weight": np.ones((256, 16), np.float32)})


def wrong_hash(publish, **_) -> Path:
    folder = publish()
    data = bytearray((folder / MODEL).read_bytes())
    data[-1] ^= 1
    (folder / MODEL).write_bytes(data)
    return folder


def replayed_old_version(publish, store, **_) -> Path:
    folder = publish()
    shutil.rmtree(folder)
    shutil.copytree(store.path / "000001", folder)
    return folder


def pickle_file(publish, forge, tmp_path, **_) -> Path:
    folder = publish()
    forge(folder, MODEL, pickle.dumps(Runs(tmp_path / "ran")))
    return folder


def pickle_beside(publish, tmp_path, **_) -> Path:
    folder = publish()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    return folder


def symlink_out_of_the_store(publish, tmp_path, **_) -> Path:
    folder = publish()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    return folder


def file_linked_from_elsewhere(publish, tmp_path, **_) -> Path:
    folder = publish()
    (folder / MODEL).rename(tmp_path / MODEL)
    (folder / MODEL).symlink_to(tmp_path / MODEL)
    return folder


def huge_header(publish, forge, **_) -> Path:
    folder = publish()
    forge(folder, MODEL, (2**60).to_bytes(8, "little") + (folder / MODEL).read_bytes()[8:])
    return folder


def of_half_precision(publish, make_tensors, **_) -> Path:
    return publish({name: value.astype(np.float16) for name, value in make_tensors(2).items()})


def of_whole_numbers(publish, forge, make_tensors, **_) -> Path:
    folder = publish()
    forge(folder, MODEL, safetensors_numpy.save({n: v.astype(np.int64) for n, v in make_tensors(2).items()}))
    return folder


def without_tensors(publish, forge, **_) -> Path:
    folder = publish()
    forge(folder, MODEL, safetensors_numpy.save({}))
    return folder


def of_no_bytes(publish, **_) -> Path:
    folder = publish()
    (folder / MODEL).write_bytes(b"")
    return folder


def bad_json(publish, forge, **_) -> Path:
    folder = publish()
    forge(folder, CONFIG, b'{"peft_type": "LORA", "r": NaN}')
    return folder


def manifest_of_bad_json(publish, keys, **_) -> Path:
    folder = publish()
    (folder / MANIFEST).write_bytes(b"{" * 100_000)
    (folder / SIGNATURE).write_bytes(keys[0].sign((folder / MANIFEST).read_bytes()))
    return folder


def unsigned(publish, **_) -> Path:
    folder = publish()
    (folder / SIGNATURE).unlink()
    return folder


def signed_by_a_stranger(publish, tmp_path, **_) -> Path:
    folder = publish()
    stranger = make_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    (folder / SIGNATURE).write_bytes(stranger.sign((folder / MANIFEST).read_bytes()))
    return folder


def that_answers_otherwise_than_recorded(publish, **_) -> Path:
    return publish(self_test={"probe": PROBE, "instruction": INSTRUCTION, "values": [[0.9] * 7]})


HOSTILE = {
    truncated: "is not a safetensors file",
    of_wrong_rank: "r = 4, the policy has 2",
    of_wrong_rank_with_the_right_one_in_its_config: r"has shape \(4, 16\), the policy has \(2, 16\)",
    of_wrong_base: "base_model_sha256 = cccccccccccc... is not that of the policy's base model",
    not_a_number: "has values that are not finite",
    renamed_tensor: "is missing.*z_proj.* is not a tensor of this adapter",
    extra_tensor: "action_head.weight' is not a tensor of this adapter",
    wrong_hash: "does not have the sha256 of the manifest",
    replayed_old_version: "number = 1 does not match the folder 000002",
    pickle_file: "claims a header",
    pickle_beside: r"unexpected entries \['adapter_model.bin'\]",
    symlink_out_of_the_store: "is not a folder of its own",
    file_linked_from_elsewhere: f"{MODEL} is not a plain file",
    huge_header: "claims a header of 1152921504606846976 bytes",
    of_half_precision: "is float16, must be float32",
    of_whole_numbers: "is int64, it must be float32 or float16",
    without_tensors: "holds no tensor",
    of_no_bytes: "has 0 bytes, the manifest lists",
    bad_json: "NaN is not allowed",
    manifest_of_bad_json: f"{MANIFEST}|RecursionError",
    unsigned: "sign",
    signed_by_a_stranger: "sign",
    that_answers_otherwise_than_recorded: "of the values agree with the trainer's record",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_it_is_rejected_and_the_one_before_serves_on(
    make, policy, reloader, store, publish, forge, make_tensors, keys, tmp_path, seen
):
    publish(make_tensors(1))
    assert reloader.load(1).reason == ""
    before = policy.predict(seen)
    folder = make(publish=publish, forge=forge, make_tensors=make_tensors, store=store, keys=keys, tmp_path=tmp_path)

    result = reloader.load(int(folder.name))

    assert (result.state, result.version, result.requested_version) == (ReloadState.REJECTED, 1, 2)
    assert re.search(HOSTILE[make], result.reason), result.reason
    after = policy.predict(seen)
    assert after.adapter_version == before.adapter_version == 1
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(after.log_probs, before.log_probs)
    assert not (tmp_path / "ran").exists()


def test_a_sound_one_is_loaded(policy, reloader, publish, make_tensors, seen):
    """The other tests reject for their own reason only."""
    publish(make_tensors(1))
    reloader.load(1)
    before = policy.predict(seen)
    publish(make_tensors(2))

    assert (reloader.load(2).state, policy.adapter_version) == (ReloadState.LOADED, 2)
    assert not np.array_equal(policy.predict(seen).log_probs, before.log_probs)


def test_what_its_trainer_recorded_is_what_it_must_answer(policy, reloader, publish, make_tensors, robot):
    second = policy.second_slot()
    second.swap(policy.stage(make_tensors(2)), 1)
    publish(make_tensors(2), self_test=record(second.predict, robot, INSTRUCTION))

    assert reloader.load(1).state == ReloadState.LOADED
