"""The schedule: the same for a seed, every kind by its weight, every target before one is repeated."""

from collections import Counter

import pytest

from apo_bringup.chaos.schedule import KINDS, NODES, FaultKind, PlannedFault, chosen_kinds, make_schedule

ALL = ("disk", "machines")


def test_a_seed_gives_the_same_schedule():
    kinds = chosen_kinds([], [], ALL)
    assert make_schedule(7, 300, kinds) == make_schedule(7, 300, kinds)
    assert make_schedule(7, 300, kinds) != make_schedule(8, 300, kinds)


def test_the_first_faults_of_a_seed_are_known():
    kinds = [FaultKind("kill", ("policy", "arbiter")), FaultKind("stop", ("teleop",), ("a", "b"), 1.0, 2.0)]
    assert make_schedule(3, 2, kinds) == [
        PlannedFault(0, "kill", "policy", "", 0.0, 0.945, 281444313),
        PlannedFault(1, "stop", "teleop", "a", 1.909, 0.757, 1006443827),
    ]


def test_a_longer_schedule_begins_like_a_shorter_one():
    kinds = chosen_kinds([], [], ALL)
    assert make_schedule(1, 400, kinds)[:50] == make_schedule(1, 50, kinds)


def test_each_kind_has_its_share():
    kinds = chosen_kinds([], [], ALL)
    weights = {kind.name: kind.weight for kind in kinds}
    counts = Counter(fault.kind for fault in make_schedule(0, 3 * sum(weights.values()), kinds))
    assert counts == {name: 3 * weight for name, weight in weights.items()}


def test_every_node_is_killed_before_one_is_killed_again():
    faults = make_schedule(5, 6, chosen_kinds(["kill"], [], ()))
    assert sorted(fault.target for fault in faults) == sorted(NODES)


def test_durations_are_within_those_of_the_kind():
    by_name = {kind.name: kind for kind in KINDS}
    for fault in make_schedule(2, 500, KINDS):
        kind = by_name[fault.kind]
        assert kind.shortest_s <= fault.duration_s <= kind.longest_s
        assert 0.1 <= fault.pause_s <= 1.5


def test_kinds_that_need_what_is_missing_are_left_out():
    names = {kind.name for kind in chosen_kinds([], [], ())}
    assert names == {"kill", "stop", "clock", "garbage", "estop", "reader", "adapter", "episode"}


def test_kinds_can_be_chosen_and_left_out():
    assert [kind.name for kind in chosen_kinds(["kill", "stop"], ["stop"], ALL)] == ["kill"]


@pytest.mark.parametrize(
    ("wanted", "without", "text"),
    [(["kil"], [], "no fault 'kil'"), ([], ["x"], "no fault 'x'"), (["disk_full"], [], "no fault is left")],
)
def test_a_wrong_choice_is_rejected(wanted, without, text):
    with pytest.raises(ValueError, match=text):
        chosen_kinds(wanted, without, ())
