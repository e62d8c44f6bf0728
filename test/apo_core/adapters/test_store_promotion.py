"""What policies serve of a store: promotion, rollback and the file that records it."""

import os
import shutil
from pathlib import Path

import pytest
from adapter_samples import CONFIG, MANIFEST, NOW, TENSORS, flip_a_bit

from apo_core.adapters.promotion import Promotion
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError


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


def test_a_rollback_skips_an_adapter_that_is_damaged_or_gone(store: AdapterStore):
    for _ in range(4):
        store.publish(TENSORS, CONFIG, MANIFEST)
    (store.path / "000003" / "adapter_model.safetensors").write_bytes(b"")
    shutil.rmtree(store.path / "000002")

    assert store.roll_back(NOW).number == 1


def test_what_is_damaged_or_missing_is_not_promoted(store: AdapterStore, published: Path):
    flip_a_bit(published)
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
        (lambda path: path.write_text("{"), "current.json is rejected: current.json is not valid JSON"),
        (lambda path: path.write_text("[" * 60_000), "current.json is rejected"),
        (lambda path: path.write_bytes(bytes(70_000)), "current.json has 70000 bytes, at most 65536"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "current.json is not a plain file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "current.json is not a plain file"),
    ],
)
def test_a_damaged_pointer_is_rejected_and_nothing_is_guessed(store: AdapterStore, published: Path, damage, message):
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
