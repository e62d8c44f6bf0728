"""Adapters are verified, tried in the second slot and swapped, or refused with the old one serving on."""

import dataclasses
import queue
import re
import shutil
import threading

import numpy as np
import pytest
from adapter_samples import plain_manifest

from apo_core import policy_probe as self_test
from apo_core.adapters.manifest import ManifestInput
from apo_core.adapters.promotion import Promotion
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_policy_node.adapters.reloader import AdapterReloader, ReloadResult, ReloadState, StagedAdapter
from apo_policy_node.adapters.worker import ReloadWorker

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}
RECORD = {"probe": self_test.PROBE, "instruction": "lift"}
WAIT_S = 10.0


def check_config(config):
    if config["lora_alpha"] != 16:
        raise AdapterError(f"adapter_config.json: lora_alpha = {config['lora_alpha']}, the policy has 16")


@pytest.fixture
def manifest(policy) -> ManifestInput:
    return plain_manifest(policy)


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


@pytest.fixture
def publish(store, manifest):
    def make(bias=0.5, name="bias", config=CONFIG, **changes) -> int:
        tensors = {name: np.array([bias], np.float32)}
        return store.publish(tensors, config, dataclasses.replace(manifest, **changes)).number

    return make


@pytest.fixture
def reloader(policy, second, store, contract, clock) -> AdapterReloader:
    return AdapterReloader(policy, second, store, contract, "lift", check_config, clock)


def test_a_staged_adapter_serves_only_after_the_swap(reloader, policy, publish):
    publish(0.5)
    staged = reloader.stage(1)

    assert isinstance(staged, StagedAdapter)
    assert (policy.bias, policy.adapter_version) == (0.0, 0)
    result = reloader.swap(staged)
    assert (policy.bias, policy.adapter_version) == (0.5, 1)
    assert (result.state, result.version, result.requested_version, result.reason) == (ReloadState.LOADED, 1, 1, "")


def test_a_rollback_serves_what_served_before_and_another_one_goes_forth_again(reloader, policy, store, publish):
    publish(0.5)
    publish(0.75)
    reloader.load(1)
    assert reloader.roll_back().reason == "nothing has served before version 1 since the start"
    reloader.swap(reloader.stage(2))
    shutil.rmtree(store.path / "000001")
    result = reloader.roll_back()

    assert (result.state, result.version, result.requested_version) == (ReloadState.LOADED, 1, 1)
    assert (policy.bias, policy.adapter_version) == (0.5, 1)
    assert reloader.roll_back().version == 2
    assert policy.bias == 0.75


def test_an_adapter_that_is_loaded_again_does_not_replace_the_way_back(reloader, policy, publish):
    publish(0.5)
    publish(0.75)
    reloader.load(1)
    reloader.swap(reloader.stage(2))
    assert reloader.swap(reloader.stage(2)).state == ReloadState.LOADED

    assert (reloader.roll_back().version, policy.bias) == (1, 0.5)


def test_a_rollback_leads_back_to_the_base_policy(reloader, policy, publish):
    publish(0.5)
    reloader.load(0)
    reloader.swap(reloader.stage(1))

    assert (reloader.roll_back().version, policy.bias) == (0, 0.0)


def test_a_refusal_changes_nothing_about_the_way_back(reloader, policy, publish):
    publish(0.5)
    publish(0.75)
    publish(name="other")
    reloader.load(1)
    reloader.swap(reloader.stage(2))
    assert reloader.stage(3).state == ReloadState.REFUSED

    assert reloader.roll_back().version == 1


def test_a_swap_that_fails_half_way_leaves_what_served(reloader, policy, publish):
    publish(0.5)
    publish(0.75)
    reloader.load(1)
    staged, good = reloader.stage(2), policy.swap

    def broken(value, version):
        good(value, version)
        policy.swap = good
        raise RuntimeError("device lost")

    policy.swap = broken
    result = reloader.swap(staged)

    assert (result.state, result.reason, result.version) == (ReloadState.REFUSED, "RuntimeError: device lost", 1)
    assert (policy.bias, policy.adapter_version) == (0.5, 1)


def test_an_adapter_of_the_old_action_labels_serves_with_a_warning_that_goes_with_it(reloader, policy, publish):
    publish(0.5, action_labels="rebinned")
    publish(0.75)
    warning = (
        "adapter 1 was trained before saturated actions kept their tokens (action_labels = rebinned); train it again"
    )
    result = reloader.load(1)
    assert (result.state, result.version, result.reason, policy.bias) == (ReloadState.LOADED, 1, warning, 0.5)
    assert reloader.warning == warning
    assert reloader.swap(reloader.stage(2)).reason == reloader.warning == ""
    assert reloader.roll_back().reason == reloader.warning == warning
    assert reloader.swap(reloader.stage(0)).reason == reloader.warning == ""


def test_times_come_from_the_clock_passed_in(reloader, clock, publish):
    publish()
    clock.step = 0.002
    result = reloader.load(1)

    assert result.stage_ms == pytest.approx(2.0)
    assert result.swap_ms == pytest.approx(2.0)


def test_version_0_is_the_base_policy(reloader, policy, publish):
    publish()
    reloader.load(1)
    result = reloader.load(0)

    assert (result.state, result.version) == (ReloadState.LOADED, 0)
    assert (policy.bias, policy.adapter_version) == (0.0, 0)


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        ({"base_model_sha256": "1" * 64}, "base_model_sha256 = 111111111111... is not that of the policy's base model"),
        ({"statistics_sha256": "2" * 64}, "statistics_sha256 = 222222222222... is not that of the policy's statistics"),
        ({"contract_sha256": "3" * 64}, "contract_sha256 = 333333333333... is not that of test contract"),
        ({"name": "other"}, r"adapter does not fit: \['other'\]"),
        ({"bias": np.nan}, "not finite"),
        ({"config": {**CONFIG, "lora_alpha": 32}}, "lora_alpha = 32, the policy has 16"),
        (
            {"self_test": {"probe": self_test.PROBE, "instruction": "lift", "values": [[9.0] * 7] * 4}},
            "0% of the values",
        ),
        ({"self_test": RECORD | {"values": [[1.5] * 7]}}, r"shape \(4, 7\)"),
        ({"self_test": {"probe": self_test.PROBE}}, "record in the manifest cannot be read"),
    ],
)
def test_an_adapter_that_does_not_belong_is_refused_and_the_old_one_serves_on(
    reloader, policy, publish, adapter, reason
):
    publish(0.25)
    reloader.load(1)
    publish(**adapter)
    result = reloader.load(2)

    assert result.state == ReloadState.REFUSED
    assert (result.version, result.requested_version) == (1, 2)
    assert re.search(reason, result.reason)
    assert (policy.bias, policy.adapter_version) == (0.25, 1)


def test_a_damaged_adapter_is_refused(reloader, store, publish):
    publish()
    path = store.path / "000001" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    result = reloader.load(1)

    assert result.state == ReloadState.REFUSED
    assert "the manifest lists" in result.reason


def test_a_version_not_in_the_store_is_refused(reloader):
    assert "adapter 4 in" in reloader.load(4).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: dataclasses.replace(c, values=c.values * np.inf), "not finite"),
        (lambda c: dataclasses.replace(c, values=np.ones_like(c.values)), "does not look at its images"),
    ],
)
def test_an_adapter_that_fails_in_the_second_slot_never_reaches_the_policy(
    reloader, policy, second, publish, change, reason
):
    publish()
    second.change = change
    result = reloader.load(1)

    assert result.state == ReloadState.REFUSED
    assert reason in result.reason
    assert (policy.adapter_version, policy.predicted) == (0, [])


def test_an_adapter_that_answers_as_its_trainer_recorded_is_loaded(reloader, contract, second, publish):
    second.bias = 0.5
    recorded = self_test.record(second, contract, "lift")
    publish(0.5, self_test=recorded)

    assert reloader.load(1).state == ReloadState.LOADED


def test_an_error_nobody_expected_is_a_refusal(reloader, policy, publish):
    publish()

    def broken(tensors):
        raise MemoryError("no room")

    policy.stage = broken
    result = reloader.load(1)

    assert (result.state, result.reason) == (ReloadState.REFUSED, "MemoryError: no room")


def test_poll_names_what_is_promoted_once_a_promotion(reloader):
    none, first, third, back, again = (
        Promotion(),
        Promotion(number=1, sequence=1),
        Promotion(number=3, sequence=2),
        Promotion(number=1, sequence=3),
        Promotion(number=1, sequence=4),
    )
    polled = [reloader.poll(promotion) for promotion in (none, first, first, third, back, third, again)]
    assert polled == [None, 1, None, 3, 1, None, 1]


def test_a_pointer_that_counts_from_the_start_again_is_followed(reloader):
    deleted, anew = Promotion(), Promotion(number=2, sequence=1, changed_utc="2026-01-05T00:00:02+00:00")
    before = Promotion(number=1, sequence=7, changed_utc="2026-01-05T00:00:01+00:00")
    polled = [reloader.poll(promotion) for promotion in (before, deleted, anew, anew)]
    assert polled == [1, None, 2, None]


def test_poll_does_not_try_a_refused_version_again(reloader, store, publish):
    publish(name="other")

    assert reloader.poll(store.promotion()) == 1
    assert reloader.load(1).state == ReloadState.REFUSED
    assert reloader.poll(store.promotion()) is None
    publish()
    assert reloader.poll(store.promotion()) == 2


def test_a_request_for_an_older_version_holds_until_the_next_promotion(reloader, store, publish):
    publish()
    publish()
    reloader.pass_over()
    reloader.load(1)

    assert reloader.poll(store.promotion()) is None
    publish()
    assert reloader.poll(store.promotion()) == 3


@pytest.fixture
def run_worker(reloader, store):
    """Starts a ReloadWorker; results of all loads come in its queue, swaps run at once."""
    workers = []

    def start(auto_reload: bool, between=lambda job: job()) -> tuple[ReloadWorker, queue.Queue]:
        results: queue.Queue = queue.Queue()
        worker = ReloadWorker(reloader, between, store.promotion, results.put, auto_reload, 0.01, results.put)
        worker.start()
        workers.append(worker)
        return worker, results

    yield start
    for worker in workers:
        worker.stop()


def test_a_request_is_answered_from_another_thread(run_worker, publish):
    publish()
    worker, results = run_worker(auto_reload=False)
    replies: queue.Queue = queue.Queue()
    worker.request(1, replies.put)

    reply = replies.get(timeout=WAIT_S)
    assert (reply.state, reply.version) == (ReloadState.LOADED, 1)
    assert results.get(timeout=WAIT_S) == reply


def test_a_rollback_asked_for_while_a_swap_waits_comes_after_it(run_worker, policy, publish):
    publish(0.5)
    jobs: queue.Queue = queue.Queue()
    replies: queue.Queue = queue.Queue()
    worker, _ = run_worker(auto_reload=False, between=jobs.put)
    worker.request(1, replies.put)
    worker.roll_back(replies.put)
    for _ in range(2):
        jobs.get(timeout=WAIT_S)()

    assert [replies.get(timeout=WAIT_S).version for _ in range(2)] == [1, 0]
    assert (policy.bias, policy.adapter_version) == (0.0, 0)


def test_the_swap_waits_for_its_turn_between_two_inferences(run_worker, policy, publish):
    publish()
    jobs: queue.Queue = queue.Queue()
    worker, results = run_worker(auto_reload=False, between=jobs.put)
    worker.request(1, lambda _: None)
    job = jobs.get(timeout=WAIT_S)

    assert policy.adapter_version == 0
    job()
    assert policy.adapter_version == 1
    assert results.get(timeout=WAIT_S).version == 1


def test_what_is_promoted_is_loaded_when_asked_to_watch(run_worker, publish):
    _, results = run_worker(auto_reload=True)
    publish(name="other")
    refused: ReloadResult = results.get(timeout=WAIT_S)
    publish()
    loaded: ReloadResult = results.get(timeout=WAIT_S)

    assert (refused.state, refused.requested_version) == (ReloadState.REFUSED, 1)
    assert (loaded.state, loaded.version) == (ReloadState.LOADED, 2)


def test_a_rollback_is_followed(run_worker, store, publish, policy):
    _, results = run_worker(auto_reload=True)
    publish(0.25)
    assert results.get(timeout=WAIT_S).version == 1
    publish(0.5)
    assert results.get(timeout=WAIT_S).version == 2
    store.roll_back("2026-01-02T03:04:05+00:00")
    assert results.get(timeout=WAIT_S).version == 1
    assert policy.bias == 0.25


def test_what_was_asked_for_serves_until_the_next_promotion(run_worker, store, publish):
    publish()
    publish()
    worker, results = run_worker(auto_reload=True)
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
