"""The running ledger as a message."""

from __future__ import annotations

from std_msgs.msg import Header

from apo_episodes.inspection.ledger import Round
from apo_interfaces.msg import LedgerRound, OperatorLedger
from apo_recorder.running_ledger import RunningLedger


def ledger_to_msg(ledger: RunningLedger, header: Header) -> OperatorLedger:
    """The message; the recorder records no demonstrations, so that every round has an adapter."""
    rounds = [_round_to_msg(each) for each in ledger.rounds]
    message = OperatorLedger(header=header, episode_id=ledger.last_id, rounds=rounds)
    if ledger.last is not None:
        message.watched_s, message.driven_s = ledger.last.watched_s, ledger.last.driven_s
    return message


def _round_to_msg(each: Round) -> LedgerRound:
    return LedgerRound(
        adapter_version=each.adapter or 0,
        episodes=each.episodes,
        labeled=each.labeled,
        unaided=each.unaided,
        takeovers=each.takeovers,
        watched_s=each.watched_s,
        driven_s=each.driven_s,
    )
