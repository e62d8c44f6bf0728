"""What an operator's time bought, by round."""

import json

import pytest

from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.ledger import Gain, Round, as_json, format_ledger, from_json, gains, rounds
from apo_episodes.inspection.table import EpisodeRow


def row(outcome="SUCCESS", seconds=60.0, takeovers=0, share=0.0, adapters=(0,), kind="INTERACTION") -> EpisodeRow:
    return EpisodeRow("e.h5", "e", kind, "Lift", outcome, 1200, seconds, takeovers, share, adapters, "ann", "", {}, 0)


FIRST = [row(), row("FAILURE", takeovers=2, share=0.5), row(takeovers=1, share=0.25), row("UNLABELED")]
SECOND = [row(adapters=(1, 2)), row(adapters=(2,)), row("FAILURE", adapters=(2,)), row(adapters=(2,))]
DEMONSTRATIONS = [row(kind="DEMONSTRATION", seconds=30.0, share=1.0)]


def test_a_round_is_what_one_adapter_acted_in():
    found = rounds([*SECOND, *FIRST, *DEMONSTRATIONS])
    assert [each.adapter for each in found] == [None, 0, 2]
    demonstrations, base, trained = found
    assert (demonstrations.watched_s, demonstrations.driven_s, demonstrations.rate) == (30.0, 30.0, None)
    # a success with a takeover is not unaided, and an episode without a label is of no rate
    assert (base.episodes, base.labeled, base.unaided, base.takeovers) == (4, 3, 1, 3)
    assert (base.watched_s, base.driven_s) == (240.0, 45.0)
    assert base.rate == pytest.approx(1 / 3)
    # Wilson, 3 of 4
    assert trained.rate == 0.75 and trained.interval == pytest.approx((0.3006, 0.9544), abs=1e-4)


def test_points_are_of_the_minutes_of_the_round_before():
    none, first, second = gains(rounds([*SECOND, *FIRST, *DEMONSTRATIONS]))
    assert none is first is None
    points = 100 * (3 / 4 - 1 / 3)
    assert second == Gain(pytest.approx(points), pytest.approx(points / 4), pytest.approx(points / 0.75))


def test_without_driving_there_is_no_gain_of_it():
    found = rounds([row("FAILURE"), row(adapters=(1,))])
    assert gains(found)[1] == Gain(100.0, 100.0, None)


def test_a_round_without_labels_is_passed_over():
    found = rounds([row("FAILURE"), row("UNLABELED", adapters=(1,)), row(adapters=(2,))])
    assert [gain and gain.points for gain in gains(found)] == [None, None, 100.0]


def test_the_table_and_its_json_agree():
    found = rounds([*SECOND, *FIRST, *DEMONSTRATIONS])
    lines = format_ledger(found).splitlines()
    assert lines[0].split("  ")[0] == "adapter" and lines[1].startswith("demonstrations")
    assert lines[2].split() == ["base", "policy", "4", "33%", "6%", "..", "79%", "3", "4.0", "0.8"]
    assert lines[3].split() == ["2", "4", "75%", "30%", "..", "95%", "0", "4.0", "0.0", "+10.4", "+55.6"]
    assert lines[4] == "9 episodes, 8.5 min watched, 1.2 min driven"
    shown = as_json(found)
    assert [each["adapter"] for each in shown] == [None, 0, 2]
    assert shown[2]["gain"]["points"] == pytest.approx(100 * (3 / 4 - 1 / 3)) and shown[0]["ci95"] is None


def test_rounds_are_read_back_from_their_json():
    found = rounds([*SECOND, *FIRST, *DEMONSTRATIONS])
    assert from_json(json.loads(json.dumps(as_json(found)))) == found


def test_episodes_without_a_file_count_like_those_of_one():
    watched = [
        Watched("SUCCESS", 60.0, 0, 0.0, (0,)),
        Watched("FAILURE", 60.0, 2, 0.5, (0,)),
        Watched("SUCCESS", 60.0, 1, 0.25, (0,)),
        Watched("UNLABELED", 60.0, 0, 0.0, (0,)),
    ]
    assert rounds(watched) == rounds(FIRST)


def test_a_round_is_the_sum_of_its_episodes():
    first, second = row(share=0.25, takeovers=1), row("FAILURE", seconds=30.0)
    both = Round.of(first).plus(Round.of(second))
    assert both == Round(0, episodes=2, labeled=2, unaided=0, takeovers=1, watched_s=90.0, driven_s=15.0)
    assert both.plus(Round.of(first), sign=-1) == Round.of(second)


def test_points_of_something_else_may_be_set_against_a_round():
    (base,) = rounds(FIRST)
    assert Gain.of(12.0, base) == Gain(12.0, 3.0, 16.0)


def test_no_episodes_are_no_rounds():
    assert rounds([]) == [] and format_ledger([]).splitlines()[-1] == "0 episodes, 0.0 min watched, 0.0 min driven"
