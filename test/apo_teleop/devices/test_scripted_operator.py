"""The simulated operator on a made-up arm: when it takes over, what it does, when it hands back."""

import numpy as np
import pytest

from apo_core.errors import ObservationError
from apo_core.tasks.expert import make_expert
from apo_core.tasks.scene import ExpertInput
from apo_teleop.devices.scripted_operator import (
    ScriptedConfig,
    ScriptedInput,
    ScriptedOperator,
    see_objects,
)

PERIOD = 50_000_000
DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # hand pointing down
CUBE = np.array([0.1, 0.05, 0.82])
QUIET = {"noise_linear": 0.0, "noise_angular": 0.0, "reaction_s": 0.2, "reaction_spread": 0.0}


class World:
    """A hand that follows its command exactly, and a cube that goes with closed fingers around it."""

    def __init__(self, **config):
        self.operator = ScriptedOperator(ScriptedConfig(**{**QUIET, **config}), PERIOD)
        self.stamp, self.trial, self.step, self.running = 1_000_000_000, 1, 0, True
        self.hand, self.width, self.cube, self.seed = np.array([0.0, 0.0, 1.0]), 0.08, CUBE.copy(), 5

    def state(self):
        return ExpertInput(self.hand, DOWN, self.width, {"cube": np.concatenate([self.cube, [0, 0, 0, 1]])})

    def tick(self, policy=(0.0, 0.0, 0.0), closes=None):
        """One tick: the operator's action if active, else the policy's velocity [m/s]; closes None: fingers rest."""
        tick = ScriptedInput(self.stamp, self.state(), self.trial, self.seed, self.step, self.running)
        sample = self.operator.step(tick)
        move = sample.values[:3] if sample.active else np.array(policy)
        closes = sample.values[6] > 0 if sample.active else closes
        around = np.linalg.norm(self.hand - self.cube) < 0.02
        if closes is not None:
            target = 0.042 if closes and around else (0.0 if closes else 0.08)
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
    world = World(stall_steps=16, reaction_s=0.2)
    course = [world.tick().active for _ in range(21)]
    assert course == [False] * 20 + [True]


def test_a_policy_that_gets_nearer_is_left_alone():
    world = World(takeover_step=0)
    assert not any(world.tick(policy=(0.1, 0.05, 0.0)).active for _ in range(18))


def test_motion_below_the_margin_is_a_stall():
    world = World(stall_m=0.004, stall_steps=16, reaction_s=0.0)
    assert [world.tick(policy=(0.002, 0, 0)).active for _ in range(17)].count(True) == 1


def test_a_policy_that_strays_is_taken_over_before_it_stalls():
    world = World(stray_m=0.06, stray_steps=3, reaction_s=0.0)
    course = [world.tick(policy=(-0.8, 0, 0)).active for _ in range(5)]
    assert course == [False, False, False, False, True]


def test_an_object_that_falls_is_not_the_fault_of_the_hand():
    world = World(stray_m=0.04, stray_steps=3, reaction_s=0.0)
    course = []
    for height in (0.12, 0.1, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0):
        world.cube[2] = CUBE[2] + height
        course.append(world.tick(policy=(0.1, 0.05, 0.0)).active)
    assert not any(course)


def test_an_object_that_the_hand_has_touched_is():
    world = World(stray_m=0.04, stray_steps=3, reaction_s=0.0)
    course = []
    for height, hand in ((0.12, 0.12), (0.1, 0.12), (0.05, 0.2), (0.0, 0.25), (0.0, 0.25), (0.0, 0.25)):
        world.cube[2], world.hand = CUBE[2] + height, CUBE + np.array([0.0, 0.0, hand])
        course.append(world.tick().active)
    assert course == [False] * 4 + [True] * 2


def test_at_the_takeover_step_an_empty_hand_is_helped():
    world = World(takeover_step=10, reaction_s=0.0)
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


def reactions(count=2, seed=5, **config):
    """Steps of reaction to the first needs of a trial."""
    world = World(**{"reaction_s": 0.45, "reaction_spread": 0.3, "takeover_step": 0, **config})
    world.seed, needed, steps = seed, 16, []  # it stalls at tick 16
    while True:
        ticks = 0
        while not world.tick().active:
            ticks += 1
        steps.append(ticks - needed)
        if len(steps) == count:
            return tuple(steps)
        while "hand_back" not in world.tick().events:
            pass
        # back at the start it has strayed for 3 ticks at tick 2
        world.hand, world.width, world.cube, needed = np.array([0.0, 0.0, 1.0]), 0.08, CUBE.copy(), 2


def test_reaction_times_differ_by_takeover_and_repeat_with_the_seeds():
    assert reactions() == reactions() == (15, 9)
    assert reactions(operator_seed=1) != reactions() != reactions(seed=6)


def test_without_spread_the_reaction_time_is_its_median():
    assert reactions(reaction_spread=0.0) == (9, 9)
    assert reactions(reaction_s=0.0) == (0, 0)


def test_reaction_times_are_log_normal():
    steps = [reactions(1, seed, reaction_s=4.5)[0] for seed in range(200)]
    # of 90 steps: exp(-0.3), 1 and exp(0.3) times the median
    assert np.percentile(steps, [15.9, 50.0, 84.1]) == pytest.approx([66.7, 90.0, 121.5], rel=0.1)


def test_fingers_that_close_beside_the_object_are_seen_at_once():
    world = World(misgrasp_steps=3, reaction_s=0.0)
    # seen at widths of 80, 60, 40, 20, 0 mm: the last three are below the 60 mm of an open hand
    assert [world.tick(closes=True).active for _ in range(5)] == [False] * 4 + [True]


def test_a_misgrasp_is_taken_over_after_the_reaction_time():
    world = World(misgrasp_steps=3, reaction_s=0.2)
    assert [world.tick(closes=True).active for _ in range(9)] == [False] * 8 + [True]


def test_no_misgrasp_steps_leave_it_to_the_stall():
    world = World(misgrasp_steps=0, stall_steps=16, reaction_s=0.0)
    assert [world.tick(closes=True).active for _ in range(17)] == [False] * 16 + [True]


def test_after_a_misgrasp_it_opens_grasps_lifts_and_hands_back():
    world = World(misgrasp_steps=3)
    world.hand = np.array([0.13, 0.05, 0.82])  # 30 mm beside the cube
    while not world.tick(closes=True).active:
        pass
    assert world.step <= 9
    drive = [world.tick() for _ in range(60)]
    end = [sample.active for sample in drive].index(False)
    assert drive[0].values[6] == -1.0 and drive[end - 1].values[6] == 1.0
    assert drive[end].events == ("hand_back",) and world.cube[2] > CUBE[2] + 0.02


def test_a_good_grasp_is_no_misgrasp():
    world = World(misgrasp_steps=1, takeover_step=0, reaction_s=0.0)
    world.hand = CUBE.copy()
    assert not any(world.tick(closes=True).active for _ in range(5))
    assert not any(world.tick(policy=(0.0, 0.0, 0.2), closes=True).active for _ in range(9))
    assert world.cube[2] == pytest.approx(CUBE[2] + 0.09)


def watch(widths, offset=(0.0, 0.0, 0.0), cube_yaw=0.0, **config):
    """Whether the operator drives, per width [m] of fingers that stand at an offset [m] from the cube."""
    operator = ScriptedOperator(ScriptedConfig(**{**QUIET, "reaction_s": 0.0, **config}), PERIOD)
    cube = np.concatenate([CUBE, [0.0, 0.0, np.sin(cube_yaw / 2), np.cos(cube_yaw / 2)]])
    states = [ExpertInput(CUBE + offset, DOWN, width, {"cube": cube}) for width in widths]
    return [operator.step(ScriptedInput(i * PERIOD, state, 1, 5, i, True)).active for i, state in enumerate(states)]


def test_fingers_that_stand_across_a_skew_cube_misgrasp():
    widths = (0.08, 0.07, 0.058, 0.057, 0.057, 0.057, 0.057)
    assert watch(widths, cube_yaw=np.pi / 4) == [False] * 6 + [True]


def test_fingers_that_still_turn_the_cube_into_place_do_not():
    widths = (0.08, 0.07, 0.058, 0.057, 0.056, 0.055, 0.054, 0.053, 0.048, 0.042)
    assert not any(watch(widths, cube_yaw=np.pi / 4, misgrasp_steps=1))


def test_fingers_that_rest_on_the_upper_edge_of_the_cube_misgrasp():
    widths = (0.08, 0.07, 0.056, 0.056, 0.056, 0.056)
    assert watch(widths, offset=(0.0, 0.0, 0.022)) == [False] * 5 + [True]


def test_fingers_that_lose_the_cube_misgrasp():
    held = (0.08, 0.06, 0.042, 0.042, 0.042)
    assert watch((*held, 0.03, 0.02, 0.01), offset=(0.0, 0.0, 0.02)) == [False] * 7 + [True]


def test_fingers_that_a_trial_starts_with_half_closed_are_left_alone():
    air = (0.0, 0.0, 0.15)
    assert not any(watch((0.0417,) * 4 + (0.05, 0.059, 0.07, 0.08), offset=air, misgrasp_steps=1))
    assert watch((0.0417,) * 3 + (0.03, 0.02, 0.01), offset=air) == [False] * 5 + [True]


@pytest.mark.parametrize("start", [(0.0, 0.0, 1.0), (0.2, -0.1, 0.95), (0.1, 0.0, 0.84)])
def test_a_run_of_the_expert_needs_no_help(start):
    world, expert = World(misgrasp_steps=1, reaction_s=0.0), make_expert("Lift")
    world.hand = np.array(start)
    for _ in range(60):
        action = expert.act(world.state())
        assert not world.tick(policy=action[:3], closes=action[6] > 0).active
    assert world.cube[2] == pytest.approx(0.92, abs=0.01)


def test_a_disabled_operator_rests_and_starts_anew_afterwards():
    operator = ScriptedOperator(ScriptedConfig(**{**QUIET, "reaction_s": 0.0}, takeover_step=10), PERIOD)
    state = ExpertInput(np.array([0.0, 0.0, 1.0]), DOWN, 0.08, {"cube": np.concatenate([CUBE, [0, 0, 0, 1]])})
    watching = operator.step(ScriptedInput(PERIOD, state, 1, 5, 1, True))
    assert watching.connected and not watching.active
    driving = operator.step(ScriptedInput(2 * PERIOD, state, 1, 5, 10, True))
    assert driving.active and driving.values[0] > 0.05 and driving.values[6] == -1.0
    operator.enabled = False
    assert not operator.step(ScriptedInput(3 * PERIOD, state, 1, 5, 11, True)).active
    assert operator.summary == {"device": "scripted", "connected": "true", "problem": "", "enabled": "false"}
    operator.enabled = True
    anew = operator.step(ScriptedInput(4 * PERIOD, state, 1, 5, 2, True))
    assert not anew.active and anew.events == ("hand_back",)


def test_objects_go_by_the_names_of_their_task():
    pose = np.array([0.1, 0.2, 0.3, 0, 0, 0, 1])
    assert list(see_objects("Stack", [pose, pose])) == ["cubeA", "cubeB"]
    with pytest.raises(ObservationError, match=r"has 1 poses, task Stack has \('cubeA', 'cubeB'\)"):
        see_objects("Stack", [pose])


STACK = {"cubeA": (0.0, 0.1, 0.82), "cubeB": (0.05, -0.05, 0.825), "cubeC": (-0.1, 0.0, 0.82)}
A_ON_B = {**STACK, "cubeA": (0.05, -0.05, 0.87)}


def watch_stack(instants, **config):
    """Whether the operator drives, per (places of the cubes, hand) of StackThree; the fingers are open."""
    settings = {**QUIET, "reaction_s": 0.0, "takeover_step": 0, **config}
    operator = ScriptedOperator(ScriptedConfig(task="StackThree", **settings), PERIOD)
    active = []
    for index, (places, hand) in enumerate(instants):
        objects = {name: np.array([*place, 0.0, 0.0, 0.0, 1.0]) for name, place in places.items()}
        state = ExpertInput(np.array(hand), DOWN, 0.08, objects)
        active.append(operator.step(ScriptedInput(index * PERIOD, state, 1, 5, index, True)).active)
    return active


def test_a_policy_that_undoes_a_part_is_taken_over():
    towards_c = [(A_ON_B, (0.05 - 0.03 * i, -0.05, 0.98)) for i in range(4)]
    fallen = [({**A_ON_B, "cubeA": (0.12, -0.05, 0.82)}, (-0.07, -0.05, 0.98))] * 4
    assert watch_stack([*towards_c, *fallen]) == [False] * 6 + [True] * 2


def test_the_next_part_has_its_own_steps_until_a_late_takeover():
    # 1.5 times as patient as the parameter: 15 steps to grasp the first cube, 15 more for the second one
    to_a = [(STACK, (0.0, 0.1 - 0.01 * (12 - i), 0.98)) for i in range(12)]
    to_c = [(A_ON_B, (0.05 - 0.005 * i, -0.05, 0.98)) for i in range(20)]
    active = watch_stack([*to_a, *to_c], takeover_step=10)
    assert active == [False] * 27 + [True] * 5


def lid_state(angle_deg, hand):
    turn, half = np.deg2rad(-30.0) / 2, np.deg2rad(angle_deg) / 2
    yaw = np.array([0.0, 0.0, np.sin(turn), np.cos(turn)])
    tilt = np.array([np.cos(turn) * np.sin(half), np.sin(turn) * np.sin(half), np.sin(turn) * np.cos(half)])
    objects = {
        "pod": np.array([0.053, -0.0082, 0.981, 0.0, 0.0, 0.0, 1.0]),
        "machine": np.array([0.0, -0.1, 0.9105, *yaw]),
        "lid": np.array([0.03, -0.048, 1.0165, *tilt, np.cos(turn) * np.cos(half)]),
    }
    return ExpertInput(np.array(hand), DOWN, 0.0, objects)


def test_closed_fingers_that_push_a_lid_are_no_misgrasp_but_may_stall():
    operator = ScriptedOperator(ScriptedConfig(task="Coffee", **{**QUIET, "reaction_s": 0.0}), PERIOD)
    state = lid_state(120.0, (0.03, -0.05, 1.15))
    ticks = [ScriptedInput(i * PERIOD, state, 1, 5, i, True) for i in range(17)]
    assert [operator.step(tick).active for tick in ticks] == [False] * 16 + [True]


def latched_ticks(operator, count: int, first: int = 0) -> list:
    state = World().state()
    ticks = [ScriptedInput(i * PERIOD, state, 1, 5, i, True, latched=True) for i in range(first, first + count)]
    return [operator.step(tick) for tick in ticks]


def test_a_latched_fault_is_cleared_from_a_device_at_rest():
    samples = latched_ticks(ScriptedOperator(ScriptedConfig(clear_s=0.2), PERIOD), 9)
    assert [list(sample.events) for sample in samples] == [[], [], [], ["clear"]] * 2 + [[]]
    assert not any(sample.active for sample in samples)


def test_a_fault_that_latches_while_it_drives_ends_the_takeover():
    world = World(takeover_step=1, reaction_s=0.0, reaction_spread=0.0)
    while not world.tick().active:
        pass
    first = world.operator.step(ScriptedInput(world.stamp, world.state(), 1, 5, world.step, True, latched=True))
    assert not first.active
    after = world.operator.step(ScriptedInput(world.stamp + PERIOD, world.state(), 1, 5, world.step + 1, True))
    assert not after.active


def test_clear_s_of_0_leaves_a_fault_latched():
    samples = latched_ticks(ScriptedOperator(ScriptedConfig(clear_s=0.0), PERIOD), 60)
    assert not any(sample.events for sample in samples)
