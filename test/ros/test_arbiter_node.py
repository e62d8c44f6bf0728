"""The arbiter as a process over DDS: who drives, takeover, hand-back."""

import math

import numpy as np
import pytest
import yaml
from arbiter_cell import CONTRACT_FILE, TOKENS, WAIT_S
from std_srvs.srv import SetBool

from apo_core.contract.contract import load_contract
from apo_core.ros.conversions import to_ns


def test_it_holds_until_enabled_then_the_policy_drives(cell, start_arbiter):
    start_arbiter()
    held = cell.until_state("IDLE", "disabled")
    assert held.source == "HOLD" and list(held.values) == [0, 0, 0, 0, 0, 0, -1]
    assert cell.call("enable", SetBool.Request(data=True)).success
    command = cell.until_state("POLICY", "policy_in_control")
    assert command.source == "POLICY" and command.adapter_version == 6
    assert command.header.frame_id == "base"
    assert list(command.values) == list(command.policy_values)
    assert list(command.policy_tokens) in TOKENS.tolist()
    assert to_ns(command.chunk_stamp) > 0 and not command.human_values
    ticks = [c.tick for c in cell.commands]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


def test_a_device_that_is_published_is_waited_for_after_the_search(cell, start_arbiter):
    cell.operator_publishes = False
    start_arbiter(start_enabled=True, operator_search_s=0.0)
    cell.until_state("HOLD", "operator_unknown")
    cell.operator_publishes = True
    cell.until_state("POLICY", "policy_in_control")


def test_an_arbiter_that_starts_again_waits_for_the_operators_sample(cell, start_arbiter):
    cell.operator_publishes = False
    start_arbiter(start_enabled=True, operator_search_s=60.0)
    held = cell.until_state("HOLD", "operator_unknown")
    assert held.source == "HOLD" and held.policy_values
    assert "POLICY" not in {command.source for command in cell.commands}
    cell.operator_publishes = cell.active = True
    cell.until_state("HOLD", "operator_not_at_rest")
    cell.active = False
    cell.until_state("POLICY", "policy_in_control")


@pytest.mark.parametrize("output", ["twist", "none"])
def test_takeover_and_hand_back(cell, start_arbiter, output):
    start_arbiter(start_enabled=True, output=output)
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    command = cell.until_state("HUMAN", "operator_motion")
    np.testing.assert_allclose(command.values, [0, -0.3, 0, 0, 0, 0, -1], atol=1e-6)
    assert command.source == "HUMAN" and list(command.human_values) == list(command.values)
    assert command.policy_values
    cell.active = False
    rest = cell.until_state("HUMAN", "operator_rest")
    assert rest.source == "HUMAN" and not any(rest.values[:6])
    back = cell.until_state("POLICY", "policy_in_control")
    assert to_ns(back.chunk_stamp) > to_ns(rest.header.stamp)
    status = cell.statuses[-1]
    assert status.takeovers == 1
    assert 0 <= status.takeover_latency_p50_ms < 1e3 * WAIT_S
    cell.spin_until(lambda: len(cell.diagnostics) >= 1, "diagnostics", flow=True)
    values = {pair.key: pair.value for pair in cell.diagnostics[-1].status[0].values}
    assert values["operator_connected"] == "True" and not math.isnan(float(values["observation_age_s"]))


def test_a_takeover_does_not_wait_for_the_next_tick(cell, start_arbiter, tmp_path):
    slow = yaml.safe_load(CONTRACT_FILE.read_text())
    slow["rate_hz"], slow["max_age_s"] = 0.5 / WAIT_S, 2 * WAIT_S  # no wait of this test lasts until a timer tick
    file = tmp_path / "slow.yaml"
    file.write_text(yaml.safe_dump(slow))
    cell.contract = load_contract(file)
    start_arbiter(contract_file=file, start_enabled=True)
    cell.send_all()
    # topics have no order among them: the commands of stops show when the pose has arrived
    stops = 0
    while not (cell.commands and cell.commands[-1].observation_stamp.sec):
        cell.call("estop")
        stops += 1
        cell.spin_until(lambda stops=stops: len(cell.commands) == stops, "the stop")
    cell.call("clear")
    cell.send_operator(cell.node.get_clock().now().nanoseconds)
    cell.active = True
    # a second sample of the same motion waits for the timer again
    for _ in range(2):
        cell.send_operator(cell.node.get_clock().now().nanoseconds)
    cell.spin_until(lambda: len(cell.commands) > stops, "the takeover")
    cell.call("clear")
    assert [c.source for c in cell.commands[stops:]] == ["HUMAN"]


def test_the_policys_action_goes_out_in_the_shadow_of_the_operator(cell, start_arbiter):
    start_arbiter(start_enabled=True)
    cell.spin_until(lambda: cell.node.count_publishers("shadow_action"), "the shadow topic")
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    command = cell.until_state("HUMAN", "operator_motion")
    cell.spin_until(lambda: any(c.tick == command.tick for c in cell.shadow), "the shadow action", flow=True)
    shadow = next(c for c in cell.shadow if c.tick == command.tick)
    assert (shadow.source, shadow.adapter_version) == ("POLICY", command.adapter_version)
    assert (shadow.header, shadow.observation_stamp, shadow.chunk_stamp) == (
        command.header,
        command.observation_stamp,
        command.chunk_stamp,
    )
    np.testing.assert_allclose(shadow.values, [0.1, 0, 0, 0, 0, 0, -1], atol=1e-6)
    assert shadow.policy_tokens and shadow.policy_tokens == command.policy_tokens
    executed = {c.tick for c in cell.commands if c.source == "POLICY"}
    assert not executed & {c.tick for c in cell.shadow}


def test_control_goes_back_by_service_alone_when_so_configured(cell, start_arbiter):
    start_arbiter(start_enabled=True, hand_back="button", hand_back_s=0.0)
    cell.until_state("POLICY", "policy_in_control")
    cell.active = True
    cell.until_state("HUMAN", "operator_motion")
    cell.active = False
    cell.until_state("HUMAN", "operator_rest")
    assert cell.until_state("HUMAN", "operator_rest").source == "HUMAN"
    assert cell.call("hand_back").success
    cell.until_state("POLICY", "policy_in_control")
    assert cell.call("hand_back").message == "no operator is in control"


def test_a_takeover_blends_from_one_motion_to_the_other(cell, start_arbiter, write_contract):
    file = write_contract(lambda data: data["limits"].update(linear_acceleration=1.0, linear_jerk=20.0))
    start_arbiter(contract_file=file, start_enabled=True, linear_deceleration=1.0)
    cell.spin_until(lambda: any(c.values[0] > 0.0999 for c in cell.commands), "the policy at speed", flow=True)
    cell.active = True
    first = cell.until_state("HUMAN", "operator_motion")
    cell.spin_until(lambda: cell.commands[-1].values[1] < -0.2999, "the operator at speed", flow=True)
    assert first.clipped == "limits.linear_acceleration" and 0 > first.values[1] > -0.1
    np.testing.assert_allclose(first.human_values, [0, -0.3, 0, 0, 0, 0, -1], atol=1e-6)
    taken = np.array([c.values[:3] for c in cell.commands if c.tick >= first.tick - 1], np.float64)
    # 1 m/s^2 at 20 Hz
    assert np.linalg.norm(np.diff(taken, axis=0), axis=1).max() <= 0.05 + 1e-6
    assert len(taken) > 7 and np.all(np.diff(taken[:, 1]) <= 1e-6) and np.all(np.diff(taken[:, 0]) <= 1e-6)
