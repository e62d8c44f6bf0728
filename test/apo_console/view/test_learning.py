"""The family of adapters, success over rounds, and curves."""

import pytest

from apo_console.view.learning import curves, family, rounds
from apo_core.adapters.promotion import Promotion


def manifest(parent, **more):
    return {
        "parent": parent,
        "method": "apo",
        "created_utc": "2026-11-30",
        "episode_ids": ["a", "b"],
        "verdict": None,
        **more,
    }


def test_adapters_stand_behind_their_parents():
    manifests = {1: manifest(0), 2: manifest(1), 3: manifest(0), 4: manifest(2), 5: manifest(1)}
    rows = family(manifests, Promotion(number=5, history=(0, 1, 2)))
    assert [(row["version"], row["depth"]) for row in rows] == [(0, 0), (1, 0), (2, 0), (4, 0), (5, 1), (3, 1)]
    assert [row["version"] for row in rows if row["serves"]] == [5]
    assert [row["version"] for row in rows if row["served_before"]] == [0, 1, 2]
    assert rows[0]["method"] == "base policy" and rows[1]["episodes"] == 2


def test_an_adapter_whose_parent_is_gone_or_that_is_damaged_is_shown():
    rows = family({3: manifest(2), 4: "its sha256 differs"}, Promotion())
    assert [(row["version"], row["depth"]) for row in rows] == [(0, 0), (3, 0), (4, 1)]
    assert rows[2]["fault"] == "its sha256 differs" and rows[0]["serves"]


def test_a_verdict_is_shown_with_its_values():
    verdict = {"accepted": True, "reasons": [], "notes": ["few"], "values": {"held_out_l1": 0.2}}
    (_, row) = family({1: manifest(0, verdict=verdict)}, Promotion())
    assert row["verdict"] == {"notes": ["few"], "values": {"held_out_l1": 0.2}}


def episode(outcome="SUCCESS", adapters=(0,), **more):
    return {
        "kind": "INTERACTION",
        "purpose": "deployment",
        "discarded": False,
        "outcome": outcome,
        "adapters": list(adapters),
        "steps": 100,
        "share": 0.2,
        "takeovers": 1,
        **more,
    }


def test_rounds_are_those_of_the_adapter_that_acted_last():
    found = rounds(
        [
            episode(),
            episode("FAILURE", share=0.4, steps=300),
            episode("UNLABELED"),
            episode(adapters=(0, 2)),
            episode(adapters=(2,), purpose="evaluation"),
        ]
    )
    assert [(row["adapter"], row["purpose"], row["episodes"]) for row in found] == [
        (0, "deployment", 3),
        (2, "deployment", 1),
        (2, "evaluation", 1),
    ]
    base = found[0]
    assert (base["judged"], base["successes"], base["takeovers"]) == (2, 1, 3)
    assert (base["low"], base["high"]) == (0.0945, 0.9055)
    assert base["share"] == pytest.approx((20 + 120 + 20) / 500)


@pytest.mark.parametrize(
    "left_out",
    [
        episode(kind="DEMONSTRATION"),
        episode(discarded=True),
        episode(purpose="reload"),
        {"id": "a", "fault": "damaged", "discarded": False},
    ],
)
def test_what_shows_no_policy_is_left_out(left_out):
    assert rounds([left_out]) == []


def test_curves_are_columns_with_gaps():
    found = curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5, "l1": {"HUMAN": 0.25, "EXPERT": None}}])
    assert found == {"step": [1.0, 2.0], "loss": [2.0, 1.5], "l1.HUMAN": [None, 0.25]}
    assert curves([]) == {}


def test_a_long_curve_is_thinned_and_keeps_its_newest_point():
    found = curves([{"step": step, "is_best": True} for step in range(1, 1002)])
    assert list(found) == ["step"] and len(found["step"]) <= 400 and found["step"][-1] == 1001.0
    assert {b - a for a, b in zip(found["step"], found["step"][1:], strict=False)} == {3.0}
