"""The predicting thread: newest observation, jobs in between, waiting for commands in lockstep."""

import queue
import threading

import pytest

from apo_core.types import ControlSource
from apo_policy_node.inference.runner import Cause, PolicyRunner
from apo_policy_node.inference.worker import InferenceWorker

WAIT_S = 10.0  # limit of a wait for something that will come


class Bench:
    """A worker whose answers and complaints are collected."""

    def __init__(self, policy, contract, clock, lockstep, command_wait_s=WAIT_S):
        self.answers: queue.Queue = queue.Queue()
        self.complaints: queue.Queue = queue.Queue()
        runner = PolicyRunner(policy, contract, replan_steps=3, clock=clock, lockstep=lockstep)
        self.now_ns = 0
        self.worker = InferenceWorker(
            runner, self.answers.put, lambda: self.now_ns, lockstep, command_wait_s, self.complaints.put
        )

    def answer(self):
        return self.answers.get(timeout=WAIT_S)


@pytest.fixture
def bench(policy, contract, clock):
    made = []

    def make(**options):
        made.append(Bench(policy, contract, clock, **options))
        made[-1].worker.start()
        return made[-1]

    yield make
    for each in made:
        each.worker.stop()


def test_the_newest_observation_wins(bench, policy, observe):
    entered, leave = threading.Event(), threading.Event()

    def slow(chunk):
        entered.set()
        assert leave.wait(WAIT_S)
        return chunk

    policy.change = slow
    b = bench(lockstep=False)
    b.now_ns = observe(3).stamp_ns
    b.worker.observe(observe(0))
    assert entered.wait(WAIT_S)
    for tick in (1, 2, 3):
        b.worker.observe(observe(tick))
    leave.set()

    assert [b.answer().observation_stamp_ns for _ in range(2)] == [observe(0).stamp_ns, observe(3).stamp_ns]
    assert b.worker.skipped == 2


def test_lockstep_answers_only_after_the_command_of_the_tick_before(bench, observe):
    b = bench(lockstep=True)
    b.worker.observe(observe(0))
    assert b.answer().cause == Cause.NO_CHUNK
    b.worker.observe(observe(1))
    b.worker.executed(observe(-1).stamp_ns, ControlSource.POLICY)  # an older one does not count
    with pytest.raises(queue.Empty):
        b.answers.get(timeout=0.05)
    b.worker.executed(observe(0).stamp_ns, ControlSource.HUMAN)

    assert b.answer().cause == Cause.NOT_DRIVING
    assert b.worker.commands_missed == 0


def test_the_wait_for_a_command_is_bounded_and_counted(bench, observe):
    b = bench(lockstep=True, command_wait_s=0.01)
    b.worker.observe(observe(0))
    b.answer()
    b.worker.observe(observe(1))

    assert b.answer().cause == Cause.IN_FORCE
    assert b.worker.commands_missed == 1


def test_lockstep_takes_the_observation_as_the_present_when_the_clock_lags(bench, observe):
    b = bench(lockstep=True)
    b.worker.observe(observe(0))

    assert b.answer().fault == ""


def test_an_observation_of_the_future_is_rejected(bench, observe):
    b = bench(lockstep=False)
    b.worker.observe(observe(0))

    assert "in the future" in b.answer().fault


def test_jobs_run_before_the_next_inference_in_order(bench, policy, observe):
    b, seen = bench(lockstep=False), []
    b.now_ns = observe(0).stamp_ns
    holding, release = threading.Event(), threading.Event()

    def hold():
        holding.set()
        assert release.wait(WAIT_S)

    b.worker.between(hold)
    assert holding.wait(WAIT_S)
    b.worker.observe(observe(0))
    b.worker.between(lambda: seen.append(("first", list(policy.predicted))))
    b.worker.between(lambda: seen.append(("second", list(policy.predicted))))
    release.set()
    b.answer()

    assert seen == [("first", []), ("second", [])]


def test_a_job_that_fails_is_reported_and_answers_go_on(bench, observe):
    b = bench(lockstep=True)
    b.worker.between(lambda: 1 / 0)
    b.worker.observe(observe(0))

    assert "ZeroDivisionError" in b.complaints.get(timeout=WAIT_S)
    assert b.answer().chunk is not None


def test_clear_drops_the_chunk_and_the_last_command(bench, observe):
    b = bench(lockstep=True)
    b.worker.observe(observe(0))
    b.answer()
    b.worker.clear()
    b.worker.observe(observe(1))

    assert b.answer().cause == Cause.NO_CHUNK


def test_stop_runs_the_jobs_given_before(bench):
    b, done = bench(lockstep=True), []
    for number in range(3):
        b.worker.between(lambda number=number: done.append(number))
    b.worker.stop()

    assert done == [0, 1, 2]


def test_stop_does_not_wait_for_a_command(bench, observe):
    b = bench(lockstep=True, command_wait_s=60.0)
    b.worker.observe(observe(0))
    b.answer()
    b.worker.observe(observe(1))
    stopper = threading.Thread(target=b.worker.stop)
    stopper.start()
    stopper.join(WAIT_S)

    assert not stopper.is_alive()


def test_an_inference_that_outlives_its_observation_is_a_fault(bench, policy, observe):
    b = bench(lockstep=False)
    b.now_ns = observe(0).stamp_ns

    def slow(chunk):
        b.now_ns += 501_000_000
        return chunk

    policy.change = slow
    b.worker.observe(observe(0))
    answer = b.answer()

    assert answer.chunk is None
    assert "0.501 s old" in answer.fault


def test_the_summary_has_the_uncertainty_of_the_newest_chunk(bench, policy, observe):
    b = bench(lockstep=False)
    assert (b.worker.summary()["entropy"], b.worker.help_wanted) == ("", False)
    b.now_ns = observe(0).stamp_ns
    b.worker.observe(observe(0))
    b.answer()

    assert (b.worker.summary()["entropy"], b.worker.summary()["log_prob"]) == ("2.000", "-1.000")
    assert b.worker.summary()["help_wanted"] == "false"
    b.worker.clear()
    assert b.worker.summary()["entropy"] == ""


def test_the_summary_counts_answers_and_has_the_fault(bench, policy, observe):
    b = bench(lockstep=False)
    b.now_ns = observe(0).stamp_ns
    b.worker.observe(observe(0))
    b.answer()
    b.worker.observe(observe(1))
    b.answer()
    b.now_ns = observe(100).stamp_ns
    b.worker.observe(observe(2))
    fault = b.answer().fault
    summary = b.worker.summary()
    assert (summary["answers_no_chunk"], summary["answers_in_force"], summary["answers_fault"]) == ("1", "1", "1")
    assert summary["fault"] == b.worker.fault == fault
    assert "s old, max_age_s" in fault
