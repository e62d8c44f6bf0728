"""The arbiter in lockstep over DDS: one answer to every observation."""

from arbiter_cell import PERIOD_NS

from apo_core.ros.conversions import to_ns


def test_lockstep_loses_no_tick_to_an_announcement_after_the_chunk(cell, start_arbiter):
    start_arbiter(lockstep=True, start_enabled=True)
    cell.adapter = 9
    cell.send_pose(100 * PERIOD_NS)
    cell.send_operator(100 * PERIOD_NS)
    cell.send_chunk(100 * PERIOD_NS)
    cell.call("clear")
    assert not cell.commands
    cell.announce(9)
    cell.spin_until(lambda: cell.commands, "the answer")
    assert [(c.source, c.adapter_version) for c in cell.commands] == [("POLICY", 9)]


def test_lockstep_answers_each_observation_once_and_only_after_both(cell, start_arbiter):
    start_arbiter(lockstep=True, start_enabled=True)
    for tick in range(100, 120):
        stamp = tick * PERIOD_NS
        sends = [cell.send_pose, cell.send_chunk, cell.send_operator]
        for send in sends[tick % 3 :] + sends[: tick % 3]:
            # calls of a service give the arbiter time to answer too early
            if tick < 103:
                cell.call("clear")
                cell.call("clear")
            assert len(cell.commands) == tick - 100
            send(stamp)
        cell.spin_until(lambda tick=tick: len(cell.commands) > tick - 100, f"the answer to tick {tick}")
    assert [to_ns(c.observation_stamp) for c in cell.commands] == [t * PERIOD_NS for t in range(100, 120)]
    assert {c.source for c in cell.commands} == {"POLICY"}
    cell.spin_until(lambda: len(cell.statuses) == 20, "every status")
    assert cell.statuses[-1].ticks_missed == 0


def test_lockstep_takes_over_and_hands_back_in_simulated_time(cell, start_arbiter):
    start_arbiter(lockstep=True, start_enabled=True)
    sources = []
    for tick in range(200, 221):
        cell.active = 200 < tick < 204  # a device must have been at rest
        for send in (cell.send_pose, cell.send_chunk, cell.send_operator):
            send(tick * PERIOD_NS)
        cell.spin_until(lambda: len(cell.commands) > len(sources), f"the answer to tick {tick}")
        sources.append(cell.commands[-1].source)
    # half a second of rest is ten ticks after the last motion
    assert sources == ["POLICY"] + ["HUMAN"] * 12 + ["POLICY"] * 8


def test_lockstep_deadline_holds_and_counts(cell, start_arbiter):
    start_arbiter(lockstep=True, start_enabled=True, lockstep_deadline_s=2.0)
    cell.send_pose(100 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 1, "the answer without any input")
    assert (cell.commands[0].source, cell.commands[0].reason) == ("HOLD", "operator_late")
    cell.send_pose(101 * PERIOD_NS)
    cell.send_operator(101 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 2, "the answer without a policy")
    assert cell.commands[1].reason == "policy_late"
    cell.send_pose(102 * PERIOD_NS)
    cell.send_operator(102 * PERIOD_NS)
    cell.send_fault(102 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 3, "the answer with a fault")
    assert cell.commands[2].reason == "policy_fault"
    cell.spin_until(lambda: len(cell.statuses) == 3, "the last status")
    assert cell.statuses[-1].ticks_missed == 2
    cell.send_pose(102 * PERIOD_NS)
    cell.spin_until(lambda: len(cell.commands) == 4, "the answer to a repeated observation")
    assert cell.commands[3].tick == cell.commands[2].tick
