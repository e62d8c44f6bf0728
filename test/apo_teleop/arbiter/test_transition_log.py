"""Which changes are logged at once, and which are counted."""

import numpy as np
import pytest

from apo_core.types import ControlSource
from apo_teleop.arbiter.transition_log import TransitionLog
from apo_teleop.arbiter.types import ControlState, Decision, Reason

S = 1_000_000_000


def decision(state: ControlState, reason: Reason, latched: bool = False) -> Decision:
    return Decision(
        values=np.zeros(7, np.float32),
        source=ControlSource.HOLD,
        state=state,
        reason=reason,
        detail="",
        latched=latched,
        takeover=False,
        observation_stamp_ns=0,
        chunk_stamp_ns=0,
        policy_values=None,
        human_values=None,
        adapter_version=0,
        clipped=(),
    )


EXHAUSTED = decision(ControlState.HOLD, Reason.CHUNK_EXHAUSTED)
DRIVES = decision(ControlState.POLICY, Reason.POLICY_IN_CONTROL)


def flicker(log: TransitionLog, times: int, begin_ns: int = 0) -> tuple[list[str], int]:
    """The lines of so many holds of 0.1 s, one in 0.5 s, and the time after them."""
    lines, now_ns = [], begin_ns
    for _ in range(times):
        lines.append(log.on_change(EXHAUSTED, now_ns))
        lines.append(log.on_change(DRIVES, now_ns + S // 10))
        now_ns += S // 2
    return lines, now_ns


def test_a_hold_that_comes_and_goes_is_logged_three_times_and_then_counted():
    log = TransitionLog()
    lines, now_ns = flicker(log, 13)
    assert [bool(line) for line in lines] == [True] * 6 + [False] * 20
    assert lines[0] == EXHAUSTED.text and lines[1] == DRIVES.text
    assert log.counted(now_ns) == ""
    # ten holds of 0.1 s; the last state began to last at 6.1 s
    assert log.counted(1_500_000_000 + 10 * S) == (
        "not logged in the last 10 s: chunk_exhausted 10 times, 1.0 s; policy_in_control 10 times, 9.0 s"
    )
    assert log.counted(30 * S) == ""


def test_after_a_window_it_is_logged_again():
    log = TransitionLog()
    flicker(log, 5)
    assert log.on_change(EXHAUSTED, 20 * S) == EXHAUSTED.text


@pytest.mark.parametrize(
    "change",
    [
        decision(ControlState.HUMAN, Reason.OPERATOR_MOTION),
        decision(ControlState.ESTOP, Reason.ESTOP, latched=True),
        decision(ControlState.HOLD, Reason.DEVICE_LOST, latched=True),
    ],
)
def test_takeovers_stops_and_latched_faults_are_always_logged(change):
    log = TransitionLog()
    assert [log.on_change(change, tick * S // 10) for tick in range(20)] == [change.text] * 20


def test_each_reason_is_counted_by_itself():
    log = TransitionLog()
    flicker(log, 5)
    silent = decision(ControlState.HOLD, Reason.POLICY_SILENT)
    assert log.on_change(silent, 3 * S) == silent.text
