"""Which tick of a trial its receivers see next."""

import math

import numpy as np
import pytest

from apo_sim_bridge.late_ticks import LateTicks
from apo_sim_bridge.perturbation.settings import StreamPerturbation
from apo_sim_bridge.sim.env import SimFrame
from apo_sim_bridge.trial import Trial, TrialRules

PERIOD_NS = 50_000_000


def frame(step):
    return SimFrame(
        images={},
        joint_names=(),
        joint_positions=np.zeros(7),
        joint_velocities=np.zeros(7),
        ee_position=np.zeros(3),
        ee_quaternion=np.zeros(4),
        gripper_width=0.0,
        objects={},
        success=False,
        truncated=False,
        step=step,
    )


@pytest.fixture
def trial():
    running = Trial(TrialRules(PERIOD_NS, horizon=6, success_hold_steps=2), 0)
    running.reset(7)
    return running


def course(late, trial):
    """Step -> step of the tick that is shown then."""
    shown = {}
    while True:
        now = late.sense(frame(trial.step), trial, math.nan, {})
        tick = late.whole(now)
        shown[trial.step] = None if tick is None else tick.frame.step
        if not trial.running:
            return shown
        trial.advance(False)


def test_without_perturbation_each_tick_is_shown_at_once(trial):
    late = LateTicks(StreamPerturbation(), ("wrist",))
    assert course(late, trial) == {step: step for step in range(7)}
    assert late.sense(frame(6), trial, 0.5, {}).trial is trial


def test_late_ticks_are_shown_as_they_were_and_the_end_at_once(trial):
    late = LateTicks(StreamPerturbation(observation_delay_steps=(4, 4)), ("wrist",))
    start_ns = trial.stamp_ns
    assert course(late, trial) == {0: None, 1: None, 2: None, 3: None, 4: 0, 5: 1, 6: 6}
    trial.reset(8)
    late.sense(frame(0), trial, 0.5, {})
    for _ in range(4):
        trial.advance(False)
        now = late.sense(frame(trial.step), trial, 0.1, {})
    tick = late.whole(now)
    assert (tick.frame.step, tick.trial.step, tick.remaining_m) == (0, 0, 0.5)
    assert tick.trial.stamp_ns > start_ns and tick.trial.stamp_ns == trial.stamp_ns - 4 * PERIOD_NS


def test_a_new_trial_forgets_what_is_on_its_way(trial):
    late = LateTicks(StreamPerturbation(observation_delay_steps=(2, 2)), ("wrist",))
    for _ in range(3):
        late.sense(frame(trial.step), trial, 0.0, {})
        trial.advance(False)
    trial.reset(8)
    assert list(course(late, trial).values()) == [None, None, 0, 1, 2, 3, 6]


def test_images_come_late_in_real_time(trial):
    late = LateTicks(StreamPerturbation(observation_delay_steps=(1, 1)), ("wrist", "agentview"))
    first = late.sense(frame(0), trial, 0.0, {})
    assert late.images(first) == []
    trial.advance(False)
    ((tick, cameras),) = late.images(late.sense(frame(1), trial, 0.0, {}))
    assert tick is first and cameras == ("wrist", "agentview")
    while trial.running:
        trial.advance(False)
    assert late.images(late.sense(frame(6), trial, 0.0, {})) is None
