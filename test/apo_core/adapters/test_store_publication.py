"""What is published gets a number of its own, is whole, or leaves nothing."""

import dataclasses
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from adapter_samples import CONFIG, MANIFEST, TENSORS

from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError


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


def test_what_a_killed_publisher_left_is_not_listed_and_is_removed(store: AdapterStore):
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
        (TENSORS, CONFIG, {"verdict": {"accepted": False}}, "verdict.accepted = False must be true: the gate has reje"),
        (TENSORS, CONFIG, {"verdict": {}}, "verdict.accepted = None must be true"),
        (TENSORS, CONFIG, {"verdict": [True]}, "verdict must be null or an object"),
    ],
)
def test_bad_input_is_not_published(store: AdapterStore, tensors, config, changes, message):
    with pytest.raises(AdapterError, match=message):
        store.publish(tensors, config, dataclasses.replace(MANIFEST, **changes))
    assert store.versions() == []


def test_a_damaged_counter_is_not_guessed(store: AdapterStore, published: Path):
    (store.path / ".last_number").write_text("seven")

    with pytest.raises(AdapterError, match=r"\.last_number holds 'seven', not a number"):
        store.publish(TENSORS, CONFIG, MANIFEST)
