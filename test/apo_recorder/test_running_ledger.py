"""Totals of the operators' time while episodes come and are taken back."""

from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.ledger import Round, rounds
from apo_recorder.running_ledger import RunningLedger

AIDED = Watched("SUCCESS", 20.0, 1, 0.25, (0,))
FAILED = Watched("FAILURE", 10.0, 0, 0.0, (0, 3))
ALONE = Watched("SUCCESS", 40.0, 0, 0.0, (3,))


def ledger_of(**episodes: Watched) -> RunningLedger:
    made = RunningLedger()
    for episode_id, watched in episodes.items():
        made.add(episode_id, watched)
    return made


def test_without_an_episode_there_are_no_rounds():
    ledger = RunningLedger()
    assert (ledger.rounds, ledger.last_id, ledger.last) == ([], "", None)


def test_totals_are_those_of_the_files():
    ledger = ledger_of(e1=AIDED, e2=FAILED, e3=ALONE)
    assert ledger.rounds == rounds([AIDED, FAILED, ALONE])
    assert ledger.rounds == [
        Round(0, episodes=1, labeled=1, unaided=0, takeovers=1, watched_s=20.0, driven_s=5.0),
        Round(3, episodes=2, labeled=2, unaided=1, takeovers=0, watched_s=50.0, driven_s=0.0),
    ]
    assert (ledger.last_id, ledger.last) == ("e3", Round(3, 1, 1, 1, 0, 40.0, 0.0))


def test_an_episode_that_is_taken_back_counts_no_more():
    ledger = ledger_of(e1=AIDED, e2=FAILED, e3=ALONE)
    ledger.take_back("e3", ALONE)
    assert ledger.rounds == rounds([AIDED, FAILED])
    assert (ledger.last_id, ledger.last) == ("", None)
    ledger.take_back("e2", FAILED)
    assert ledger.rounds == rounds([AIDED])


def test_the_last_episode_stays_while_an_older_one_is_taken_back():
    ledger = ledger_of(e1=AIDED, e2=ALONE)
    ledger.take_back("e1", AIDED)
    assert (ledger.last_id, ledger.rounds) == ("e2", rounds([ALONE]))
