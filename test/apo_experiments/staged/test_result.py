"""Counts, table and JSON of replayed trials."""

import pytest

from apo_core.adapters.trial import TrialLimits
from apo_experiments.loop.simulated_loop import TrialFacts
from apo_experiments.staged.replay import Ending, Replayed
from apo_experiments.staged.result import CandidateResult, report, table

TRIALS = (
    Replayed(Ending.PROMOTED, 20, 1000, 100),
    Replayed(Ending.PROMOTED, 8, 400, 0),
    Replayed(Ending.WORSE, 12, 600, 60),
    Replayed(Ending.UNDECIDED, 200, 9000, 900),
)


def episodes(unaided: int, of: int = 4) -> tuple[TrialFacts, ...]:
    return tuple(TrialFacts(seed, True, 30, 0, int(seed >= unaided)) for seed in range(of))


def result(unaided: int, name: str = "good", adapter: int = 1) -> CandidateResult:
    return CandidateResult(name, episodes(unaided), episodes(2), TRIALS, adapter)


@pytest.mark.parametrize(
    ("unaided", "gain", "promotions", "rollbacks"), [(4, 2, None, 1), (2, 0, 2, 1), (0, -2, 2, None)]
)
def test_what_is_false_follows_from_the_recorded_seeds(unaided, gain, promotions, rollbacks):
    made = result(unaided)
    assert (made.gain, made.false_promotions, made.false_rollbacks) == (gain, promotions, rollbacks)


def test_the_table_has_a_row_a_candidate():
    lines = table([result(2, "the base policy itself", 0), result(4)], TrialLimits(), 0.05).markdown().splitlines()
    assert lines[0] == "## Staged promotion"
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == [
        "the base policy itself",
        "50% (15% .. 85%)",
        "+0 points",
        *("2", "1", "0", "1"),
        "16 (8 .. 200)",
        "2 of 4: 50% (15% .. 85%)",
        "1 of 4: 25% (5% .. 70%)",
        "40 s watched, 4 s driven",
    ]
    assert [cell.strip() for cell in lines[5].split("|")[1:-1]][:3] == ["good", "100% (51% .. 100%)", "+50 points"]
    assert lines[7] == (
        "Base policy: 50% (15% .. 85%) of 4 seeds unaided. 4 trials a candidate, at most 200 episodes each."
    )
    assert "to 5.0% of the trials each" in lines[9]


def test_the_report_has_every_trial():
    made = report([result(4)], TrialLimits(trial_alpha=0.1), 0.05)
    assert made["limits"]["trial_alpha"] == 0.1
    assert (made["base"]["seeds"], made["base"]["unaided"]) == (4, 2)
    (candidate,) = made["candidates"]
    assert candidate["endings"] == {"promoted": 2, "worse": 1, "takeovers": 0, "undecided": 1}
    assert candidate["false_promotions"] is None
    assert candidate["false_rollbacks"]["ci95"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert candidate["trials"][0] == {"ending": "promoted", "episodes": 20, "watched_s": 50.0, "driven_s": 5.0}
