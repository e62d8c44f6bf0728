"""Demonstrations: what is recorded, what is executed, and that a seed repeats them."""

import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_core.tasks.expert import make_expert
from apo_sim_bridge.demonstrations.collect import NoiseBursts, collect
from apo_sim_bridge.sim.env import ACTION_SCALE, SimConfig, SimEnv, SimFrame

STRONG = NoiseBursts(probability=0.5, linear_speed=1.0, angular_speed=10.0, release_probability=0.5)


class FakeEnv:
    """Counts steps; succeeds at `success_at`. Checks every action as the real one does."""

    def __init__(self, success_at=None):
        self.config = SimConfig(horizon=30)
        self._success_at = success_at
        self.seeds = []

    def reset(self, seed):
        self.seeds.append(seed)
        self._step = 0
        return self._frame()

    def step(self, action):
        assert action.shape == (7,) and action.dtype == np.float32
        assert (np.abs(action) <= ACTION_SCALE).all()
        self._step += 1
        return self._frame()

    def _frame(self):
        zeros = np.zeros(7)
        success = self._success_at is not None and self._step >= self._success_at
        return SimFrame({}, (), zeros, zeros, zeros[:3], np.eye(4)[3], 0.08, {}, success, self._step >= 30, self._step)


class FakeExpert:
    def reset(self):
        self.calls = 0

    def act(self, state):
        self.calls += 1
        return np.array([0.9, 0, 0, 0, 0, 0, 1], np.float32)


def actions(seed, noise):
    return [(step.expert_action, step.executed_action) for step in collect(FakeEnv(), FakeExpert(), seed, noise)]


def test_without_noise_the_experts_action_is_executed():
    steps = list(collect(FakeEnv(), FakeExpert(), seed=5))
    assert len(steps) == 30
    assert all(np.array_equal(step.expert_action, step.executed_action) for step in steps)
    assert [step.frame.step for step in steps] == list(range(30))
    assert [step.next_frame.step for step in steps] == list(range(1, 31))


def test_noise_changes_only_what_is_executed():
    pairs = actions(0, STRONG)
    assert all(np.array_equal(expert, np.array([0.9, 0, 0, 0, 0, 0, 1], np.float32)) for expert, _ in pairs)
    pushed = [not np.array_equal(expert, executed) for expert, executed in pairs]
    assert any(pushed) and not all(pushed)
    assert any(executed[6] == -1.0 for _, executed in pairs)
    assert any(executed[6] == 1.0 for _, executed in pairs)


def test_same_seed_gives_the_same_noise():
    one, again, other = actions(3, STRONG), actions(3, STRONG), actions(4, STRONG)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_ends_on_success():
    steps = list(collect(FakeEnv(success_at=4), FakeExpert(), seed=0))
    assert len(steps) == 4 and steps[-1].next_frame.success


def test_extra_steps_after_success_within_the_limit():
    assert len(list(collect(FakeEnv(success_at=4), FakeExpert(), seed=0, extra_steps=3))) == 7
    assert len(list(collect(FakeEnv(success_at=4), FakeExpert(), seed=0, extra_steps=3, max_steps=5))) == 5


def test_noise_reports_every_fault_at_once():
    with pytest.raises(ConfigError) as caught:
        NoiseBursts(probability=1.5, min_steps=5, max_steps=4, linear_speed=float("nan"), angular_speed=-1.0)
    assert len(caught.value.faults) == 4


def test_expert_recovers_from_noise_in_the_simulation():
    with SimEnv(SimConfig(cameras={})) as env:
        first = list(collect(env, make_expert("Lift"), seed=2, noise=NoiseBursts(), max_steps=200))
        second = list(collect(env, make_expert("Lift"), seed=2, noise=NoiseBursts(), max_steps=200))
    assert first[-1].next_frame.success
    assert any(not np.array_equal(step.expert_action, step.executed_action) for step in first)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.executed_action, other.executed_action)
