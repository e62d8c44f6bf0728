"""Attention and driving of one episode."""

from apo_episodes.inspection.attention import Watched

STEPS = ["POLICY", "HUMAN", "HUMAN", "HOLD", "POLICY", "HUMAN", "POLICY", "POLICY"]


def test_an_episode_is_watched_as_a_whole_and_driven_in_part():
    watched = Watched.of_steps("SUCCESS", STEPS, [3, 3, 3, 3, 4, 4, 4, 4], 20.0)
    assert watched == Watched("SUCCESS", 0.4, 2, 0.375, (3, 4), "INTERACTION")


def test_a_demonstration_has_no_takeover():
    watched = Watched.of_steps("SUCCESS", ["HUMAN"] * 3, [0, 0, 0], 10.0, "DEMONSTRATION")
    assert watched == Watched("SUCCESS", 0.3, 0, 1.0, (0,), "DEMONSTRATION")
