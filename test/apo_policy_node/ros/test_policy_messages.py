import math

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from builtin_interfaces.msg import Time

from apo_core.adapters.trial import ShadowCounts, Trial, TrialLimits, TrialOutcome
from apo_interfaces.msg import EpisodeEvent
from apo_policy_node.adapters.reloader import ReloadResult, ReloadState
from apo_policy_node.adapters.staged_promotion import EpisodeReport
from apo_policy_node.inference.uncertainty import UNKNOWN, Uncertainty
from apo_policy_node.ros.policy_messages import episode_from_msg, reloaded_to_msg, trial_to_msg, uncertainty_to_msg


def test_an_uncertainty_keeps_the_stamp_of_its_observation(contract):
    message = uncertainty_to_msg(Uncertainty(3_000_000_007, -2.5, 1.5, True, 4), contract, 1.25)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 7)
    assert message.header.frame_id == contract.frame_id
    assert (message.log_prob, message.entropy, message.help_entropy) == (-2.5, 1.5, 1.25)
    assert message.help_wanted and message.adapter_version == 4


def test_an_unknown_entropy_stays_unknown(contract):
    assert math.isnan(uncertainty_to_msg(Uncertainty(0, -1.0, UNKNOWN, False, 0), contract, 0.0).entropy)


@pytest.mark.parametrize("state", list(ReloadState))
def test_a_result_is_reported_whole(state):
    message = reloaded_to_msg(ReloadResult(state, 2, 3, "damaged", 12.5, 0.25), Time(sec=9, nanosec=1))
    assert (message.state, message.version, message.requested_version) == (state.value, 2, 3)
    assert (message.reason, message.stage_ms, message.swap_ms) == ("damaged", 12.5, 0.25)
    assert message.header.stamp == Time(sec=9, nanosec=1)


def test_a_trial_has_its_counts_and_the_evidence():
    counts = ShadowCounts(steps=5, disagreement=0.25, corrections=2, error=0.5, serving_error=0.75)
    trial = Trial(7, 4, 0, TrialLimits(shadow_steps=5, trial_alpha=0.1)).shadowed(counts)
    for name, draw, outcome, takeovers in (
        ("e1", 0.0, TrialOutcome.SUCCESS, 0),
        ("e2", 0.9, TrialOutcome.FAILURE, 0),
        ("e3", 0.0, TrialOutcome.SUCCESS, 1),
        ("e4", 0.0, TrialOutcome.VOID, 0),
    ):
        trial = trial.drawn(draw, "").begun(name).ended(name, outcome, takeovers, "")
    message = trial_to_msg(trial, Time(sec=9, nanosec=1))
    assert (message.candidate, message.serving, message.stage, message.reason) == (7, 4, "canary", "")
    assert (message.shadow_steps, message.shadow_disagreement) == (5, 0.25)
    assert (message.shadow_corrections, message.shadow_error, message.shadow_serving_error) == (2, 0.5, 0.75)
    assert (message.candidate_successes, message.candidate_episodes) == (1, 2)
    assert (message.serving_successes, message.serving_episodes) == (0, 1)
    assert (message.void_episodes, message.takeovers_in_a_row) == (1, 1)
    assert message.log_e_better == pytest.approx(trial.evidence.better)
    assert message.log_e_worse == pytest.approx(trial.evidence.worse)
    assert message.log_e_needed == pytest.approx(2.3025851)
    assert message.header.stamp == Time(sec=9, nanosec=1)


def test_an_event_of_the_recorder_is_read():
    message = EpisodeEvent(
        event="SAVED",
        episode_id="e1",
        outcome="SUCCESS",
        takeovers=2,
        adapter_versions=[0, 3],
        begin=Time(sec=4, nanosec=5),
    )
    assert episode_from_msg(message) == EpisodeReport("SAVED", "e1", TrialOutcome.SUCCESS, 2, (0, 3), 4_000_000_005)
    message.outcome = "UNLABELED"
    assert episode_from_msg(message).outcome is TrialOutcome.VOID
    message.event = "SOMETHING"
    assert episode_from_msg(message) is None
