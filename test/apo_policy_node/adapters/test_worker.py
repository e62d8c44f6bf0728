"""The thread that loads adapters: requests, promotions, and swaps between two inferences."""

import queue
import threading

import pytest

from apo_core.adapters.promotion import Promotion
from apo_core.errors import AdapterError
from apo_policy_node.adapters.reloader import ReloadResult, ReloadState
from apo_policy_node.adapters.worker import ReloadWorker

WAIT_S = 10.0


@pytest.fixture
def run_worker(reloader, store):
    """Starts a ReloadWorker; results of all loads come in its queue, swaps run at once."""
    workers = []

    def start(follow: bool, between=lambda job: job()) -> tuple[ReloadWorker, queue.Queue]:
        results: queue.Queue = queue.Queue()
        worker = ReloadWorker(reloader, between, store.promotion, results.put, follow, 0.01, results.put)
        worker.start()
        workers.append(worker)
        return worker, results

    yield start
    for worker in workers:
        worker.stop()


def test_a_request_is_answered_from_another_thread(run_worker, publish):
    publish()
    worker, results = run_worker(follow=False)
    replies: queue.Queue = queue.Queue()
    worker.request(1, replies.put)

    reply = replies.get(timeout=WAIT_S)
    assert (reply.state, reply.version) == (ReloadState.LOADED, 1)
    assert results.get(timeout=WAIT_S) == reply


def test_a_rollback_requested_while_a_swap_waits_follows_it(run_worker, policy, publish):
    publish(0.5)
    jobs: queue.Queue = queue.Queue()
    replies: queue.Queue = queue.Queue()
    worker, _ = run_worker(follow=False, between=jobs.put)
    worker.request(1, replies.put)
    worker.roll_back(replies.put)
    for _ in range(2):
        jobs.get(timeout=WAIT_S)()

    assert [replies.get(timeout=WAIT_S).version for _ in range(2)] == [1, 0]
    assert (policy.bias, policy.adapter_version) == (0.0, 0)


def test_the_swap_waits_for_its_turn_between_two_inferences(run_worker, policy, publish):
    publish()
    jobs: queue.Queue = queue.Queue()
    worker, results = run_worker(follow=False, between=jobs.put)
    worker.request(1, lambda _: None)
    job = jobs.get(timeout=WAIT_S)

    assert policy.adapter_version == 0
    job()
    assert policy.adapter_version == 1
    assert results.get(timeout=WAIT_S).version == 1


def test_what_is_promoted_is_loaded_where_promotions_are_followed(run_worker, publish):
    _, results = run_worker(follow=True)
    publish(name="other")
    rejected: ReloadResult = results.get(timeout=WAIT_S)
    publish()
    loaded: ReloadResult = results.get(timeout=WAIT_S)

    assert (rejected.state, rejected.requested_version) == (ReloadState.REJECTED, 1)
    assert (loaded.state, loaded.version) == (ReloadState.LOADED, 2)


def test_a_rollback_is_followed(run_worker, store, publish, policy):
    _, results = run_worker(follow=True)
    publish(0.25)
    assert results.get(timeout=WAIT_S).version == 1
    publish(0.5)
    assert results.get(timeout=WAIT_S).version == 2
    store.roll_back("2026-01-02T03:04:05+00:00")
    assert results.get(timeout=WAIT_S).version == 1
    assert policy.bias == 0.25


def test_a_requested_version_serves_until_the_next_promotion(run_worker, store, publish):
    publish()
    publish()
    worker, results = run_worker(follow=True)
    worker.request(1, lambda _: None)
    loaded = [results.get(timeout=WAIT_S).version]
    while loaded[-1] != 1:  # the worker may have followed the store before it saw the request
        loaded.append(results.get(timeout=WAIT_S).version)
    store.promote(2, "2026-01-02T03:04:05+00:00")
    assert results.get(timeout=WAIT_S).version == 2


def test_a_store_that_cannot_be_listed_is_reported_once_and_watched_on(reloader):
    looks, reports = queue.Queue(), []
    damaged = threading.Event()
    damaged.set()

    def promotion():
        looks.put(None)
        if damaged.is_set():
            raise AdapterError("cannot be listed")
        return Promotion()

    worker = ReloadWorker(reloader, lambda job: job(), promotion, lambda _: None, True, 0.01, reports.append)

    def look_twice_more() -> None:
        """The first may have begun before."""
        while not looks.empty():
            looks.get()
        for _ in range(3):
            looks.get(timeout=WAIT_S)

    assert worker.store_fault == ""
    worker.start()
    look_twice_more()
    assert worker.store_fault == "adapter store: cannot be listed"
    damaged.clear()
    look_twice_more()
    assert worker.store_fault == ""
    assert reports == ["adapter store: cannot be listed"]
    damaged.set()
    look_twice_more()
    worker.stop()
    assert reports == 2 * ["adapter store: cannot be listed"]
