import pytest
from adapter_samples import NOW

from apo_core.adapters.promotion import Promotion, read_pointer
from apo_core.adapters.remote.push import Push
from apo_core.adapters.remote.rings import move_ring, read_ring, release
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError


def pointer_of(store: AdapterStore) -> bytes:
    content = read_pointer(store.path)
    assert content is not None
    return content


def pushed(trainer, remote, ring, once) -> list[str]:
    seen, left_out = [], []
    Push(trainer, remote, ring, once).look(lambda what, size: seen.append(what), lambda *what: left_out.append(what))
    assert left_out == []
    return seen


def test_the_fleet_gets_what_was_released_and_not_before(trainer, remote, once):
    pushed(trainer, remote, "fleet", once)
    trainer.promote(1, NOW)
    assert pushed(trainer, remote, "canary", once) == ["ring canary: adapter 1 (change 3)"]
    assert [read_ring(remote, ring, once)[1].number for ring in ("canary", "fleet")] == [1, 2]
    with pytest.raises(AdapterError, match="ring canary has adapter 1, not adapter 2"):
        release(remote, 2, once)
    released = release(remote, 1, once)
    assert (released.number, released.sequence) == (1, 3)
    assert remote.ring("fleet") == remote.ring("canary") == pointer_of(trainer)
    assert release(remote, 1, once) is None


def test_a_push_to_the_fleet_reaches_the_canary_as_well(trainer, remote, once):
    assert pushed(trainer, remote, "fleet", once)[-2:] == [
        "ring canary: adapter 2 (change 2)",
        "ring fleet: adapter 2 (change 2)",
    ]


def test_a_roll_back_is_a_newer_decision_and_an_older_one_never_comes_back(trainer, remote, once):
    first = pointer_of(trainer)
    assert move_ring(remote, "fleet", first, once)
    trainer.roll_back(NOW)
    second = pointer_of(trainer)
    assert move_ring(remote, "fleet", second, once) and not move_ring(remote, "fleet", second, once)
    with pytest.raises(
        AdapterError, match="has change 3 to adapter 1, which is newer than change 2 to adapter 2: pull"
    ):
        move_ring(remote, "fleet", first, once)
    assert remote.ring("fleet") == second


def test_two_changes_of_one_number_exclude_each_other(trainer, remote, once, tmp_path):
    move_ring(remote, "fleet", pointer_of(trainer), once)
    other = AdapterStore(tmp_path / "other")
    other.promote(0, NOW)
    other.promote(0, NOW)
    with pytest.raises(AdapterError, match=r"ring fleet: change 2 to the base policy .* is not change 2 to adapter 2"):
        move_ring(remote, "fleet", pointer_of(other), once)


def test_a_release_without_the_adapter_or_a_promotion_is_rejected(trainer, remote, once):
    with pytest.raises(AdapterError, match="ring canary has no promotion yet"):
        release(remote, 2, once)
    move_ring(remote, "canary", pointer_of(trainer), once)
    with pytest.raises(AdapterError, match="has no adapter 2"):
        release(remote, 2, once)
    assert read_ring(remote, "fleet", once) is None


def test_a_damaged_pointer_is_named(remote, once):
    remote.put_ring("fleet", b"{")
    with pytest.raises(AdapterError, match="the pointer of ring fleet is rejected"):
        read_ring(remote, "fleet", once)


def test_the_base_policy_needs_no_adapter(remote, once, tmp_path):
    local = AdapterStore(tmp_path / "local")
    local.promote(0, NOW)
    assert pushed(local, remote, "canary", once) == ["ring canary: the base policy (change 1)"]
    assert release(remote, 0, once) == Promotion(0, 1, (), NOW, "")
