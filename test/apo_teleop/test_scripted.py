"""The simulated operator on a made-up arm: when it takes over, what it does, when it hands back."""

import numpy as np
import pytest

from apo_core.errors import ObservationError
from apo_core.experts import ExpertInput
from apo_teleop.devices.scripted import (
    OBJECT_NAMES,
    ScriptedConfig,
    ScriptedDevice,
    ScriptedInput,
    ScriptedOperator,
    see_objects,
)

PERIOD = 50_000_000
DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # hand pointing down
CUBE = np.array([0.1, 0.05, 0.82])
QUIET = {"noise_linear": 0.0, "noise_angular": 0.0}


class World:
    """A hand that follows its command exactly, and a cube that goes with closed fingers around it."""

    def __init__(self, **config):
        self.operator = ScriptedOperator(ScriptedConfig(**{**QUIET, **config}), PERIOD)
        self.stamp, self.trial, self.step, self.running = 1_000_000_000, 1, 0, True
        self.hand, self.width, self.cube = np.array([0.0, 0.0, 1.0]), 0.08, CUBE.copy()

    def tick(self, policy=(0.0, 0.0, 0.0)):
        """One tick: the operator's action if active, else the policy's velocity [m/s]."""
        cube = np.concatenate([self.cube, [0, 0, 0, 1]])
        state = ExpertInput(self.hand, DOWN, self.width, {"cube": cube})
        sample = self.operator.step(ScriptedInput(self.stamp, state, self.trial, 5, self.step, self.running))
        move = sample.values[:3] if sample.active else np.array(policy)
        around = np.linalg.norm(self.hand - self.cube) < 0.02
        if sample.active:
            target = 0.042 if sample.values[6] > 0 and around else (0.0 if sample.values[6] > 0 else 0.08)
            self.width += np.clip(target - self.width, -0.02, 0.02)
        holding = around and self.width < 0.045
        self.hand = self.hand + move * 0.05
        if holding:
            self.cube = self.cube + move * 0.05
        self.stamp, self.step = self.stamp + PERIOD, self.step + 1
        return sample

    def new_trial(self):
        self.stamp, self.trial, self.step = self.stamp + 1_000_000_000, self.trial + 1, 0
        self.hand, self.width, self.cube = np.array([0.0, 0.0, 1.0]), 0.08, CUBE.copy()


def test_a_stalled_policy_is_taken_over_after_the_reaction_time():
    world = World(stall_steps=16, reaction_steps=4)
    course = [world.tick().active for _ in range(21)]
    assert course == [False] * 20 + [True]


def test_a_policy_that_gets_nearer_is_left_alone():
    world = World(takeover_step=0)
    assert not any(world.tick(policy=(0.1, 0.05, 0.0)).active for _ in range(18))


def test_motion_below_the_margin_is_a_stall():
    world = World(stall_m=0.004, stall_steps=16, reaction_steps=0)
    assert [world.tick(policy=(0.002, 0, 0)).active for _ in range(17)].count(True) == 1


def test_a_policy_that_strays_is_taken_over_before_it_stalls():
    world = World(stray_m=0.06, stray_steps=3, reaction_steps=0)
    course = [world.tick(policy=(-0.8, 0, 0)).active for _ in range(5)]
    assert course == [False, False, False, False, True]


def test_at_the_takeover_step_an_empty_hand_is_helped():
    world = World(takeover_step=10, reaction_steps=0)
    course = [world.tick(policy=(0.1, 0.05, 0.0)).active for _ in range(11)]
    assert course == [False] * 10 + [True]


def test_it_drives_until_the_cube_is_lifted_then_hands_back():
    world = World(lift_steps=2, min_drive_steps=10)
    samples = [world.tick() for _ in range(80)]
    active = [sample.active for sample in samples]
    start = active.index(True)
    end = active.index(False, start)
    assert samples[end].events == ("hand_back",)
    assert not any(sample.events for sample in samples[:end])
    assert samples[end - 1].values[6] == 1.0
    assert world.cube[2] > CUBE[2] + 0.02
    assert end - start >= 10


def test_it_takes_over_again_when_the_policy_fails_again_and_then_finishes():
    world = World(max_hand_backs=1)
    while "hand_back" not in world.tick().events:
        pass
    world.hand, world.width, world.cube = np.array([0.0, 0.0, 1.0]), 0.08, CUBE.copy()
    second = [world.tick() for _ in range(120)]
    start = [sample.active for sample in second].index(True)
    assert start <= 20
    assert all(sample.active and not sample.events for sample in second[start:])


def test_a_new_trial_ends_the_intervention_and_starts_the_watch_again():
    world = World()
    while not world.tick().active:
        pass
    world.new_trial()
    sample = world.tick()
    assert not sample.active and sample.events == ("hand_back",)
    assert [world.tick().active for _ in range(20)] == [False] * 19 + [True]


def test_a_trial_number_alone_marks_a_new_trial():
    world = World()
    for _ in range(19):
        world.tick()
    world.trial += 1
    assert not any(world.tick().active for _ in range(20))


def test_after_the_trial_it_rests():
    world = World()
    while not world.tick().active:
        pass
    world.running = False
    assert world.tick().events == ("hand_back",)
    assert not any(world.tick().active for _ in range(60))


def test_the_tremor_depends_on_the_seeds_alone():
    def drive(seed, trial):
        world = World(noise_linear=0.05, noise_angular=0.1, operator_seed=seed)
        world.trial = trial
        return np.array([world.tick().values for _ in range(30)])

    np.testing.assert_array_equal(drive(1, 1), drive(1, 7))
    assert not np.array_equal(drive(1, 1), drive(2, 1))


@pytest.mark.parametrize("task", OBJECT_NAMES)
def test_object_names_are_those_of_the_simulation(task):
    sim_env = pytest.importorskip("apo_sim_bridge.sim_env")
    assert tuple(sim_env.TASK_BODIES[task]) == OBJECT_NAMES[task]


def test_as_a_device_it_answers_each_tick_once_with_its_stamp():
    device = ScriptedDevice(ScriptedConfig(**QUIET, takeover_step=10, reaction_steps=0), PERIOD)
    state = ExpertInput(np.array([0.0, 0.0, 1.0]), DOWN, 0.08, {"cube": np.concatenate([CUBE, [0, 0, 0, 1]])})
    assert device.poll(0) is None
    device.see(ScriptedInput(PERIOD, state, 1, 5, 1, True))
    watching = device.poll(PERIOD)
    assert watching.connected and watching.values is None and watching.stamp_ns == PERIOD
    assert device.poll(PERIOD) is None
    device.see(ScriptedInput(2 * PERIOD, state, 1, 5, 10, True))
    driving = device.poll(2 * PERIOD)
    assert driving.values[0] > 0.05 and driving.values[6] == -1.0
    device.enabled = False
    device.see(ScriptedInput(3 * PERIOD, state, 1, 5, 11, True))
    assert device.poll(3 * PERIOD).values is None
    assert device.summary == {"device": "scripted", "connected": "true", "problem": "", "enabled": "false"}


def test_objects_go_by_the_names_of_their_task():
    pose = np.array([0.1, 0.2, 0.3, 0, 0, 0, 1])
    assert list(see_objects("Stack", [pose, pose])) == ["cubeA", "cubeB"]
    with pytest.raises(ObservationError, match=r"has 1 poses, task Stack has \('cubeA', 'cubeB'\)"):
        see_objects("Stack", [pose])
