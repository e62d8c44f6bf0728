"""The server around a fake policy: first adapter, threads, requests."""

import queue
import sys
import threading

import numpy as np
import pytest
from adapter_samples import plain_manifest

from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import Stage, TrialLimits
from apo_core.errors import AdapterError, ConfigError
from apo_core.types import ControlSource
from apo_policy_node.adapters.reloader import ReloadState
from apo_policy_node.adapters.staged_promotion import EpisodeChange, EpisodeReport
from apo_policy_node.config import PolicyConfig
from apo_policy_node.policy_server import Listeners, PolicyServer

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}
WAIT_S = 10.0
THREADS = {"inference", "reload"}


class Bench:
    """A server with queues for what it reports."""

    def __init__(self, policy, contract, store, **settings):
        self.answers, self.results, self.errors = queue.Queue(), queue.Queue(), queue.Queue()
        config = PolicyConfig(instruction="lift", warm_up=1, poll_s=0.05, **settings)
        self.trials = queue.Queue()
        listeners = Listeners(self.answers.put, self.results.put, self.errors.put, self.errors.put, self.trials.put)
        self.now_ns = 0
        self.server = PolicyServer(policy, config, contract, store, lambda config: None, listeners, lambda: self.now_ns)

    def result(self):
        return self.results.get(timeout=WAIT_S)


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


@pytest.fixture
def publish(store, policy):
    def make(bias: float) -> int:
        return store.publish({"bias": np.array([bias], np.float32)}, CONFIG, plain_manifest(policy)).number

    return make


@pytest.fixture
def make(policy, contract, store):
    made = []

    def bench(**settings) -> Bench:
        made.append(Bench(policy, contract, store, **settings))
        return made[-1]

    yield bench
    for each in made:
        each.server.stop()


def running() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & THREADS


def test_threads_run_from_start_to_stop(make):
    interval = sys.getswitchinterval()
    server = make().server
    assert running() == set()
    server.start()
    assert running() == THREADS
    server.stop()
    assert running() == set()
    assert sys.getswitchinterval() == interval


def test_a_server_that_never_started_can_be_stopped(make):
    make().server.stop()


def test_the_base_policy_is_reported_as_the_first_adapter(make, policy):
    result = make().result()
    assert (result.state, result.version, policy.adapter_version) == (ReloadState.LOADED, 0, 0)


def test_the_first_adapter_is_the_configured_one(make, publish, policy):
    publish(0.25)
    publish(0.5)
    bench = make(adapter_version=1, promotion="manual")
    assert bench.result().version == bench.server.adapter_version == 1
    assert policy.bias == 0.25


def test_the_first_adapter_is_the_promoted_one(make, publish, store):
    publish(0.25)
    publish(0.5)
    store.promote(1, "2026-01-02T03:04:05+00:00")
    assert make(adapter_version=-1).result().version == 1


def test_without_a_promotion_the_base_policy_serves(make):
    assert make(adapter_version=-1).result().version == 0


def test_a_first_adapter_that_cannot_serve_is_an_error(make):
    with pytest.raises(AdapterError, match=r"adapter_version = 7 \(config/policy.yaml\): .*7"):
        make(adapter_version=7)


def test_a_policy_that_cannot_serve_as_configured_is_an_error(make):
    with pytest.raises(ConfigError, match="replan_steps = 5 is above the 4 rows"):
        make(replan_steps=5)


def test_an_observation_is_answered_in_the_thread(make, observe):
    bench = make()
    bench.now_ns = observe(0).stamp_ns
    bench.server.start()
    bench.server.observe(observe(0))
    answer = bench.answers.get(timeout=WAIT_S)
    assert answer.observation_stamp_ns == observe(0).stamp_ns and answer.chunk is not None
    assert bench.server.fault == "" and not bench.server.help_wanted


def test_another_source_of_commands_needs_a_new_chunk(make, observe):
    bench = make(lockstep=True, replan_steps=4)
    bench.server.start()
    for tick in range(2):
        bench.server.observe(observe(tick))
        bench.answers.get(timeout=WAIT_S)
        bench.server.executed(observe(tick).stamp_ns, ControlSource.HUMAN)
    assert bench.server.summary()["answers_not_driving"] == "1"


def test_an_adapter_without_a_calibration_is_a_warning(make):
    bench = make(help_rule="calibrated")
    assert bench.server.adapter_warning == ""
    bench.server.start()
    assert bench.server.adapter_warning.startswith("help_rule = 'calibrated', but the base policy has no calibration")
    assert bench.server.summary()["adapter_warning"] == bench.errors.get(timeout=WAIT_S)


def test_help_is_requested_above_the_configured_entropy(make, observe):
    bench = make(help_entropy=1.0, help_chunks=1)
    bench.now_ns = observe(0).stamp_ns
    bench.server.start()
    bench.server.observe(observe(0))
    assert bench.answers.get(timeout=WAIT_S).uncertainty.help_wanted
    assert bench.server.help_wanted and bench.server.summary()["help_wanted"] == "true"


def test_an_adapter_is_loaded_and_rolled_back_on_request(make, publish):
    bench = make(promotion="manual")
    bench.server.start()
    assert bench.result().version == 0
    publish(0.5)
    replies = queue.Queue()
    bench.server.load_adapter(1, replies.put)
    assert replies.get(timeout=WAIT_S).version == bench.result().version == bench.server.adapter_version == 1
    bench.server.roll_back(replies.put)
    assert replies.get(timeout=WAIT_S).version == 0
    summary = bench.server.summary()
    assert (summary["adapter_version"], summary["adapter_warning"], summary["adapter_store_fault"]) == ("0", "", "")


def test_a_published_adapter_goes_on_trial(make, publish, store, observe):
    bench = make(promotion="staged", trial=TrialLimits(shadow_steps=1))
    bench.server.start()
    assert bench.result().version == 0
    publish(0.5)
    (store.path / "current.json").unlink()
    assert bench.trials.get(timeout=WAIT_S).stage is Stage.SHADOW
    assert bench.server.summary()["trial"] == "adapter 1 shadow: 0 of 1 steps"
    bench.now_ns = observe(0).stamp_ns
    bench.server.executed(observe(0).stamp_ns, ControlSource.HUMAN, np.zeros(7, np.float32))
    bench.server.observe(observe(0))
    canary = bench.trials.get(timeout=WAIT_S)
    assert canary.stage is Stage.CANARY
    assert canary.shadow.steps == canary.shadow.corrections == 1
    bench.server.on_episode(EpisodeReport(EpisodeChange.ENDED, "e1"))
    drawn = bench.trials.get(timeout=WAIT_S)
    assert bench.result().version == drawn.waiting.version
    bench.server.load_adapter(0, lambda _: None)
    assert bench.trials.get(timeout=WAIT_S).reason == "the base policy was requested"


def test_without_stages_events_of_the_recorder_have_no_effect(make, publish):
    bench = make(promotion="gate")
    bench.server.start()
    bench.server.on_episode(EpisodeReport(EpisodeChange.ENDED, "e1"))
    publish(0.5)
    assert [bench.result().version for _ in range(2)] == [0, 1]
    assert bench.trials.empty() and bench.server.summary()["trial"] == ""


def test_a_job_runs_in_the_inference_thread(make):
    bench = make()
    names = queue.Queue()
    bench.server.start()
    bench.server.between(lambda: names.put(threading.current_thread().name))
    assert names.get(timeout=WAIT_S) == "inference"
