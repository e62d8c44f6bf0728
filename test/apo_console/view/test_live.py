"""The state of a robot as the page shows it."""

import json
import math

import pytest

from apo_console.view.live import Live


@pytest.fixture
def live():
    live = Live("left", ("agentview", "wrist"))
    live.on_status(10.0, "POLICY", "policy_in_control", False, ticks_missed=2, takeover_latency_p50_ms=math.nan)
    return live


def test_what_topics_carry_is_shown(live):
    live.on_command(0.0412345, "POLICY", [0.12345, math.nan], "limits.linear_speed")
    live.on_doubt(False, entropy=1.25, help_entropy=0.0)
    live.on_adapter("LOADED", 3, 3, "")
    live.on_trial(4, "canary", "", candidate_successes=2, candidate_episodes=3)
    live.on_episode("STARTED", "e1", "UNLABELED", "", 0, 0)
    live.on_training("RUNNING", "run1", 30, 200, "trains", loss=0.5, eta_s=math.inf)
    live.on_task(4, 17, -1.0, {"grasped": True}, False)
    live.on_device("browser", True, False)
    state = live.state(10.1)
    assert (state["name"], state["cameras"]) == ("left", ["agentview", "wrist"])
    assert state["alarm"] == {"level": 0, "text": "The policy drives.", "action": ""}
    assert state["control"] == {
        "state": "POLICY",
        "reason": "policy_in_control",
        "latched": False,
        "ticks_missed": 2.0,
        "takeover_latency_p50_ms": None,
        "source": "POLICY",
        "values": [0.123, None],
        "clipped": "limits.linear_speed",
        "silent_s": pytest.approx(0.1),
        "observation_age_s": 0.0412,
    }
    assert state["timeline"] == [{"from": 0.1, "to": 0.0, "state": "POLICY", "reason": "policy_in_control"}]
    assert state["doubt"] == {"help_wanted": False, "entropy": 1.25, "help_entropy": 0.0}
    assert state["trial"] == {
        "candidate": 4,
        "stage": "canary",
        "reason": "",
        "candidate_successes": 2.0,
        "candidate_episodes": 3.0,
    }
    assert state["training"]["loss"] == 0.5 and state["training"]["eta_s"] is None
    assert state["task"] == {"trial": 4, "step": 17, "stages": {"grasped": True}, "success": False, "rest": -1.0}
    assert state["device"] == {"name": "browser", "connected": True, "active": False}


def test_the_time_of_the_operator_is_shown_by_adapter(live):
    rounds = [{"adapter_version": 0, "episodes": 2, "watched_s": 60.0, "driven_s": 12.34567}]
    live.on_operator_time("e2", 31.0, 5.25, rounds)
    assert live.state(10.1)["operator_time"] == {
        "episode": "e2",
        "watched_s": 31.0,
        "driven_s": 5.25,
        "rounds": [{"adapter_version": 0.0, "episodes": 2.0, "watched_s": 60.0, "driven_s": 12.3457}],
    }


def test_it_is_valid_json_whatever_the_figures(live):
    live.on_doubt(True, entropy=math.nan, log_prob=-math.inf)
    live.on_command(math.inf, "HOLD", [math.inf] * 7, "")
    assert "NaN" not in json.dumps(live.state(11.0), allow_nan=False)


def test_a_silent_arbiter_is_an_alarm(live):
    assert live.state(10.4)["alarm"]["level"] == 0
    assert live.state(12.0)["alarm"]["text"] == "The arbiter has been silent for 2 s."
    assert Live("", ()).state(1.0)["alarm"]["text"] == "No arbiter has reported yet."


def test_the_worst_problem_of_a_node_is_shown_until_it_is_gone(live):
    live.on_diagnostics(10.0, "recorder", 1, "loses data")
    live.on_diagnostics(10.0, "policy", 2, "no checkpoint")
    assert live.state(10.1)["alarm"]["text"] == "policy: no checkpoint"
    assert live.state(10.1)["problems"] == ["policy: no checkpoint", "recorder: loses data"]
    live.on_diagnostics(10.2, "policy", 0, "serves")
    assert live.state(10.3)["problems"] == ["recorder: loses data"]
    live.on_status(11.3, "POLICY", "policy_in_control", False, ticks_missed=2, takeover_latency_p50_ms=math.nan)
    assert live.state(11.4)["alarm"]["text"] == "recorder: loses data"
    assert live.state(15.3)["problems"] == []


def test_a_browser_that_nobody_drives_with_is_no_problem(live):
    live.on_diagnostics(10.0, "teleop", 1, "nobody drives in a browser")
    live.on_device("browser", False, False)
    assert live.state(10.1)["problems"] == []
    live.on_device("browser", True, False)
    assert live.state(10.1)["problems"] == ["teleop: nobody drives in a browser"]
