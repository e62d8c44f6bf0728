"""Hostile files: each is rejected by the product's readers, and removed again."""

import numpy as np
import pytest

from apo_bringup.chaos.hostile_files import place_adapter, place_episode
from apo_bringup.chaos.schedule import ADAPTERS, EPISODES
from apo_core.adapters.manifest import ManifestInput
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError

HASH = "12" * 32
BY_CONTENT = ("wrong_base", "not_finite", "wrong_shape")  # sound by form: the policy rejects them


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    """One sound adapter, promoted."""
    made = AdapterStore(tmp_path / "adapters")
    manifest = ManifestInput(0, HASH, HASH, HASH, (), HASH, {}, "2026-01-02T00:00:00+00:00", "apo")
    made.publish({"a.lora_A.weight": np.ones((2, 3), np.float32)}, {"peft_type": "LORA", "r": 2}, manifest)
    return made


@pytest.mark.parametrize("style", ADAPTERS)
def test_a_hostile_adapter_is_promoted_rejected_and_removed(store, tmp_path, style):
    trap = tmp_path / "trap"
    number, remove = place_adapter(store.path, style, 5, trap)
    assert store.promotion().number == number != 1
    if style in BY_CONTENT:
        assert store.read(number)
    else:
        with pytest.raises(AdapterError):
            store.read(number)
    assert not trap.exists()
    remove()
    assert store.promotion().number == 1
    assert store.versions() == [1]


def test_the_store_may_be_empty(tmp_path):
    store = AdapterStore(tmp_path / "adapters")
    _, remove = place_adapter(store.path, "truncated", 1, tmp_path / "trap")
    remove()
    assert store.promotion().number == 0
    assert store.versions() == []


@pytest.mark.parametrize("style", EPISODES)
def test_a_hostile_episode_appears_and_is_removed(tmp_path, style):
    folder = tmp_path / "episodes"
    remove = place_episode(folder, style, 5)
    (placed,) = folder.iterdir()
    assert placed.name == "hostile-5.h5"
    remove()
    assert list(folder.iterdir()) == []


def test_the_bytes_depend_on_the_seed(tmp_path):
    first, second, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for folder, seed in ((first, 5), (second, 5), (other, 6)):
        place_episode(folder, "random_bytes", seed)
    content = [next(folder.iterdir()).read_bytes() for folder in (first, second, other)]
    assert content[0] == content[1] != content[2]
