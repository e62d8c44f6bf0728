import pytest

from apo_bringup.session.conduct import SessionStopped, conduct, run_session
from apo_bringup.session.plan import SessionConfig
from apo_bringup.session.report import EpisodeRecord, ReloadRecord, SessionRecord, TrainingRecord
from apo_core.errors import ApoError
from apo_core.types import Outcome, Purpose

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
            Outcome.SUCCESS,
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

    def train(self, serving, episode_ids, round_index, update):
        self.calls.append(("train", serving, episode_ids))
        state = self._states.pop(0)
        if state == "PUBLISHED":
            self._version += 1
        return TrainingRecord(round_index, "r", state, "why", self._version if state == "PUBLISHED" else 0, 1, 1.0, ())

    def measure(self, record):
        record.ticks += 1


def run(stack, record=None):
    record = record or SessionRecord({})
    return run_session(CONFIG, stack, record, lambda text: None, lambda text: None), record


def test_each_round_trains_a_successor_of_what_serves():
    stack = FakeStack()
    final, _ = run(stack)
    assert final == 2
    assert [call[1] for call in stack.calls if call[0] == "train"] == [0, 1]


def test_it_is_noted_what_a_round_trains_from():
    stack, notes = FakeStack(), []
    run_session(CONFIG, stack, SessionRecord({}), notes.append, lambda text: None)
    assert "round 1: training on 4 episodes, to replace adapter 1" in notes
    assert "  adapter 2, trained from the base policy, after 1 steps in 1 s" in notes


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


@pytest.mark.parametrize("stack", [FakeStack(states=("REJECTED", "FAILED")), FakeStack(accepts=False)])
def test_without_an_accepted_adapter_the_base_is_evaluated_once(stack):
    final, _ = run(stack)
    assert final == 0
    assert [call for call in stack.calls if call[0] == "load"] == [("load", 0)]


def test_an_early_end_keeps_what_was_measured():
    record = SessionRecord({})
    with pytest.raises(SessionStopped):
        run(FakeStack(stop_at_seed=10002), record)
    assert [e.seed for e in record.episodes if e.purpose == Purpose.DEPLOYMENT] == [10000, 10001]
    assert len(record.trainings) == 1


class InterruptedStack(FakeStack):
    """Ctrl-C comes in the call of that name; an episode is being recorded then, if it is a trial."""

    def __init__(self, phase):
        super().__init__()
        self._phase = phase
        self._recording = None

    def _reached(self, phase):
        if phase == self._phase:
            raise SessionStopped("SIGINT received")

    def wait_ready(self, update):
        self._reached("start of the nodes")

    def run_trial(self, trial, adapter_version, update):
        self._recording = trial
        self._reached(f"{trial.purpose} trial")
        self._recording = None
        return super().run_trial(trial, adapter_version, update)

    def load_adapter(self, version):
        self._reached("load of an adapter")

    def train(self, serving, episode_ids, round_index, update):
        self._reached("training")
        return super().train(serving, episode_ids, round_index, update)

    def end_recording(self):
        self.calls.append(("end",))
        trial = self._recording
        if trial is None:
            return None
        return EpisodeRecord(
            "cut", "cut.h5", trial.purpose, trial.round, trial.seed, 0, Outcome.UNLABELED, 3, 0, 0, 6, 0, 1.0
        )


def conducted(stack, prepare=lambda: None, connect=None):
    record, notes = SessionRecord({}), []
    final = conduct(CONFIG, record, prepare, connect or (lambda: stack), notes.append, lambda text: None)
    return record, notes, final


def test_an_undisturbed_session_runs_through_every_phase():
    stack = InterruptedStack("never")
    record, notes, final = conducted(stack)
    assert (record.stopped, final) == ("", 2)
    assert ("end",) not in stack.calls
    assert notes[0] == "all nodes are up"


@pytest.mark.parametrize(
    ("phase", "episodes", "final"),
    [
        ("start of the nodes", [], 0),
        ("deployment trial", ["cut"], 0),
        ("training", ["deployment-10000", "deployment-10001"], 0),
        ("reload trial", ["deployment-10000", "deployment-10001", "cut"], 0),
        (
            "load of an adapter",
            [f"deployment-{i}" for i in (10000, 10001)]
            + ["reload-10004"]
            + [f"deployment-{i}" for i in (10002, 10003)]
            + ["reload-10005"],
            2,
        ),
        (
            "evaluation trial",
            [f"deployment-{i}" for i in (10000, 10001)]
            + ["reload-10004"]
            + [f"deployment-{i}" for i in (10002, 10003)]
            + ["reload-10005", "cut"],
            2,
        ),
    ],
)
def test_ctrl_c_ends_every_phase_and_keeps_the_episode(phase, episodes, final):
    stack = InterruptedStack(phase)
    record, notes, serving = conducted(stack)
    assert record.stopped == "SIGINT received"
    assert [e.episode_id for e in record.episodes] == episodes
    assert serving == final
    assert stack.calls[-1] == ("end",)
    assert "stopping: SIGINT received" in notes
    kept = "  the episode that was being recorded is kept, 3 steps: cut.h5"
    assert (kept in notes) == ("cut" in episodes)


def test_ctrl_c_before_the_nodes_starts_none():
    def prepare():
        raise SessionStopped("SIGINT received")

    stack = InterruptedStack("never")
    record, notes, final = conducted(stack, prepare)
    assert (record.stopped, stack.calls, final) == ("SIGINT received", [], 0)
    assert notes == ["stopping: SIGINT received"]


def test_a_failure_is_kept_for_the_report(capsys):
    def connect():
        raise ValueError("no such thing")

    record, _, _ = conducted(None, connect=connect)
    assert record.stopped == "ValueError: no such thing"
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApoError("the expert fails too often"), "ApoError: the expert fails too often"),
        (FileExistsError(17, "File exists", "expert"), "FileExistsError: [Errno 17] File exists: 'expert'"),
    ],
)
def test_errors_of_apo_and_of_files_give_no_traceback(capsys, error, reason):
    def prepare():
        raise error

    record, _, _ = conducted(None, prepare)
    assert record.stopped == reason
    assert capsys.readouterr().err == ""
