import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_interfaces.msg import ActionCommand, TaskStatus
from apo_recorder.ros.command_message import command_from_msg, progress_from_msg


def command(**fields):
    message = ActionCommand(values=[0.0] * 7, source="POLICY", **fields)
    return command_from_msg(message, 7, 5)


def test_tokens_come_with_the_policys_action():
    tokens = command(policy_values=[0.0] * 7, policy_tokens=list(range(7))).policy_tokens
    assert tokens.dtype == np.int32 and tokens.tolist() == list(range(7))


@pytest.mark.parametrize("tokens", [[], [1], list(range(8)), [-1] * 7])
def test_malformed_tokens_are_unknown_and_the_command_counts(tokens):
    found = command(policy_values=[0.5] * 7, policy_tokens=tokens)
    assert found.policy_tokens is None
    assert found.policy_action.tolist() == [0.5] * 7


def test_tokens_without_the_policys_action_are_dropped():
    assert command(policy_tokens=list(range(7))).policy_tokens is None


@pytest.mark.parametrize("remaining", [0.0, 0.25])
def test_progress_holds_what_is_left(remaining):
    assert progress_from_msg(TaskStatus(remaining=remaining)).remaining == remaining


@pytest.mark.parametrize("remaining", [float("nan"), float("inf"), -0.5])
def test_what_is_left_is_unknown_unless_it_is_a_length(remaining):
    assert progress_from_msg(TaskStatus(remaining=remaining)).remaining is None


def test_progress_holds_the_setting_of_the_simulation():
    assert progress_from_msg(TaskStatus(perturbation='{"distractors": 2}')).perturbation == '{"distractors": 2}'
    assert progress_from_msg(TaskStatus()).perturbation == ""


def test_what_is_left_is_unknown_where_it_is_not_reported():
    assert progress_from_msg(TaskStatus()).remaining is None


def test_progress_holds_the_stages_in_their_order():
    message = TaskStatus(stages=["grasped", "lifted"], stages_reached=[True, False])
    assert list(progress_from_msg(message).stages.items()) == [("grasped", True), ("lifted", False)]


@pytest.mark.parametrize(
    ("names", "reached"), [([], []), (["grasped"], []), ([], [True]), (["grasped", "grasped"], [True, True])]
)
def test_malformed_stages_are_unknown(names, reached):
    assert progress_from_msg(TaskStatus(stages=names, stages_reached=reached)).stages is None
