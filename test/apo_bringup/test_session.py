import pytest

from apo_bringup.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_bringup.session import SessionStopped, run_session
from apo_bringup.session_plan import SessionConfig
from apo_core.types import Purpose

CONFIG = SessionConfig(rounds=2, episodes_per_round=2, evaluation_episodes=2)


class FakeStack:
    """Remembers what the session asked for."""

    def __init__(self, states=("PUBLISHED", "PUBLISHED"), accepts=True, stop_at_seed=None):
        self.calls, self._states, self._accepts, self._stop = [], list(states), accepts, stop_at_seed
        self._version = 0

    def run_trial(self, trial, adapter_version, update):
        if trial.seed == self._stop:
            raise SessionStopped("SIGINT received")
        self.calls.append(("trial", trial.purpose, trial.seed, adapter_version))
        return EpisodeRecord(
            f"{trial.purpose}-{trial.seed}",
            "",
            trial.purpose,
            trial.round,
            trial.seed,
            adapter_version,
            True,
            5,
            0,
            0,
            1,
            0,
            0,
        )

    def run_reload_trial(self, trial, version, update):
        self.calls.append(("reload", version))
        return self.run_trial(trial, version - 1, update), ReloadRecord(version, self._accepts, "no", 3, 0, 1, 1, 1)

    def load_adapter(self, version):
        self.calls.append(("load", version))

    def train(self, parent, episode_ids, round_index, update):
        self.calls.append(("train", parent, episode_ids))
        state = self._states.pop(0)
        if state == "PUBLISHED":
            self._version += 1
        return TrainingRecord(round_index, "r", state, "why", self._version if state == "PUBLISHED" else 0, 1, 1.0, ())

    def measure(self, record):
        record.ticks += 1


def run(stack, record=None):
    record = record or SessionRecord({})
    return run_session(CONFIG, stack, record, lambda text: None, lambda text: None), record


def test_each_round_trains_against_the_policy_of_the_round_before():
    stack = FakeStack()
    final, _ = run(stack)
    assert final == 2
    assert [call[1] for call in stack.calls if call[0] == "train"] == [0, 1]


def test_training_uses_deployment_episodes_only():
    stack = FakeStack()
    run(stack)
    last = [call for call in stack.calls if call[0] == "train"][-1]
    assert last[2] == [f"deployment-{seed}" for seed in (10000, 10001, 10002, 10003)]


def test_base_and_final_are_evaluated_on_the_same_seeds():
    stack = FakeStack()
    run(stack)
    evaluated = [call[2:] for call in stack.calls if call[0] == "trial" and call[1] == Purpose.EVALUATION]
    assert evaluated == [(50000, 0), (50001, 0), (50000, 2), (50001, 2)]


@pytest.mark.parametrize("stack", [FakeStack(states=("REFUSED", "FAILED")), FakeStack(accepts=False)])
def test_without_an_accepted_adapter_the_base_goes_on_serving_and_is_evaluated_once(stack):
    final, _ = run(stack)
    assert final == 0
    assert [call for call in stack.calls if call[0] == "load"] == [("load", 0)]


def test_an_early_end_keeps_what_was_measured():
    record = SessionRecord({})
    with pytest.raises(SessionStopped):
        run(FakeStack(stop_at_seed=10002), record)
    assert [e.seed for e in record.episodes if e.purpose == Purpose.DEPLOYMENT] == [10000, 10001]
    assert len(record.trainings) == 1
