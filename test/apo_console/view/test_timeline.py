"""Who drove over the last seconds."""

from apo_console.view.timeline import Timeline


def row(start, end, state, reason=""):
    return {"from": start, "to": end, "state": state, "reason": reason}


def test_equal_states_are_one_run():
    line = Timeline()
    for tick in range(20):
        line.add(100.0 + tick * 0.05, "POLICY", "policy_in_control")
    assert line.rows(101.0) == [row(1.0, 0.0, "POLICY", "policy_in_control")]


def test_a_change_of_reason_begins_a_run():
    line = Timeline()
    line.add(0.8, "POLICY", "policy_in_control")
    line.add(1.0, "HUMAN", "operator_motion")
    line.add(1.05, "HUMAN", "operator_motion")
    line.add(1.1, "HOLD", "device_lost")
    line.add(1.15, "HOLD", "awaiting_fresh_chunk")
    assert line.rows(1.2) == [
        row(0.4, 0.2, "POLICY", "policy_in_control"),
        row(0.2, 0.1, "HUMAN", "operator_motion"),
        row(0.1, 0.05, "HOLD", "device_lost"),
        row(0.05, 0.0, "HOLD", "awaiting_fresh_chunk"),
    ]


def test_a_pause_is_silence_between_two_runs_and_at_the_end():
    line = Timeline()
    line.add(10.0, "POLICY", "a")
    line.add(10.4, "POLICY", "a")
    line.add(12.0, "POLICY", "a")
    assert line.rows(12.0) == [row(2.0, 1.6, "POLICY", "a"), row(1.6, 0.0, "SILENT"), row(0.0, 0.0, "POLICY", "a")]
    assert line.rows(13.0)[-1] == row(1.0, 0.0, "SILENT")


def test_what_is_older_is_forgotten():
    line = Timeline(seconds=2.0)
    for tick in range(101):
        line.add(tick * 0.05, "POLICY" if tick < 80 else "HUMAN", "r")
    assert line.rows(5.0) == [row(2.0, 1.0, "POLICY", "r"), row(1.0, 0.0, "HUMAN", "r")]
    assert Timeline().rows(5.0) == []
