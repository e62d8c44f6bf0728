"""Messages of one tick, put together by their stamp."""

from apo_teleop.devices.scripted_tick_join import TickJoin


def test_a_tick_is_complete_in_any_order_and_once():
    join = TickJoin(("a", "b"))
    assert join.add("b", 1, "b1") is None
    assert join.add("b", 2, "b2") is None
    assert join.add("a", 2, "a2") == {"a": "a2", "b": "b2"}
    assert join.add("a", 1, "a1") == {"a": "a1", "b": "b1"}
    assert join.add("a", 1, "a1") is None


def test_incomplete_ticks_are_forgotten_one_after_the_other():
    join = TickJoin(("a", "b"))
    for stamp in range(6):
        join.add("a", stamp, stamp)
    assert join.add("b", 0, "late") is None
    assert join.add("b", 5, "b5") == {"a": 5, "b": "b5"}
