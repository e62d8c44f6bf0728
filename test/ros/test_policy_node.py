"""The policy node as a process over DDS: chunks for observations, adapters exchanged while it serves, a clean end."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from adapter_samples import plain_manifest
from policy_robot import CONTRACT, CONTRACT_FILE, PERIOD_NS, WAIT_S, Robot, parameter_file, small_checkpoint, start

torch = pytest.importorskip("torch")

from small_policy import random_adapter  # noqa: E402

from apo_core.adapters.store import AdapterStore  # noqa: E402
from apo_core.ros.conversions import image_to_msg, to_ns  # noqa: E402
from apo_core.ros.node_runner import run  # noqa: E402
from apo_core.ros.qos import COMMANDS, LATCHED  # noqa: E402
from apo_interfaces.msg import ActionChunk, ActionDoubt, AdapterTrial, EpisodeEvent  # noqa: E402
from apo_interfaces.srv import LoadAdapter  # noqa: E402
from apo_policy_node.policy_node import PolicyNode  # noqa: E402
from apo_vla.lora.adapter import LoraSettings, adapter_config  # noqa: E402
from apo_vla.policy import VlaPolicy  # noqa: E402

LORA = LoraSettings(rank=2, alpha=4.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A very small model of random weights."""
    return small_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> AdapterStore:
    return AdapterStore(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def publish(checkpoint, store) -> Callable[..., int]:
    """Publishes an adapter whose B is random, and returns its number."""
    policy = VlaPolicy.load(checkpoint, lora=LORA)

    def make(seed: int = 0, to: AdapterStore | None = None, **changes: str) -> int:
        """To `to`, another store, it is not promoted."""
        manifest, tensors = plain_manifest(policy, **changes), random_adapter(policy.model, seed)
        return (to or store).publish(tensors, adapter_config(LORA), manifest, promote=to is None).number

    return make


@pytest.fixture(scope="module")
def parameters(checkpoint, store) -> dict:
    return {
        "contract_file": str(CONTRACT_FILE),
        "checkpoint_dir": str(checkpoint),
        "adapter_dir": str(store.path),
        "promotion": "manual",
        "lora_rank": LORA.rank,
        "lora_alpha": LORA.alpha,
        "replan_steps": 3,
        "lockstep": True,
        "use_sim_time": True,
        "command_wait_s": 20.0,
        "help_entropy": 0.5,  # a policy of random weights is never as sure as that
        "help_chunks": 2,
    }


@pytest.fixture(scope="module")
def robot(tmp_path_factory, parameters, next_domain) -> Iterator[Robot]:
    """A robot beside one node that serves every test of this module."""
    domain = next_domain()
    process = start(domain, tmp_path_factory.mktemp("node"), parameters)
    robot = Robot(domain)
    try:
        robot.until(lambda: robot.found() or process.poll() is not None, "the node")
        assert process.poll() is None, process.stderr.read()
        yield robot
    finally:
        robot.close()
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=WAIT_S)
        finally:
            process.kill()


def test_a_chunk_answers_an_observation(robot):
    chunk = robot.tick(gap=20)

    assert chunk.fault == ""
    assert to_ns(chunk.observation_stamp) == to_ns(chunk.header.stamp) == robot.stamp_ns
    assert (chunk.horizon, chunk.action_dim) == (4, 7)
    assert chunk.header.frame_id == "base"
    assert chunk.period_s == pytest.approx(0.05)
    assert chunk.inference_s > 0
    assert len(chunk.values) == len(chunk.tokens) == 28
    assert set(chunk.tokens) <= set(range(256))
    assert len(chunk.log_probs) == 4
    assert np.isfinite(chunk.values).all()
    assert max(chunk.log_probs) < 0


def test_a_chunk_serves_three_ticks_then_a_new_one_comes(robot):
    chunks = [robot.tick(gap=20 if tick == 0 else 1) for tick in range(7)]
    first_ns = to_ns(chunks[0].header.stamp)

    assert [(to_ns(c.header.stamp) - first_ns) // PERIOD_NS for c in chunks] == [0, 1, 2, 3, 4, 5, 6]
    assert [(to_ns(c.observation_stamp) - first_ns) // PERIOD_NS for c in chunks] == [0, 0, 0, 3, 3, 3, 6]


def test_every_tick_is_predicted_while_the_human_drives(robot):
    sources = ["POLICY", "HUMAN", "HUMAN", "POLICY", "POLICY"]
    chunks = [robot.tick(source, gap=20 if tick == 0 else 1) for tick, source in enumerate(sources)]
    first_ns = to_ns(chunks[0].header.stamp)

    assert [(to_ns(c.observation_stamp) - first_ns) // PERIOD_NS for c in chunks] == [0, 0, 2, 3, 3]


def test_a_new_trial_drops_the_chunk(robot):
    robot.tick(gap=20)
    chunk = robot.tick(gap=20)

    assert to_ns(chunk.observation_stamp) == robot.stamp_ns


def test_an_adapter_is_exchanged_while_every_observation_is_answered(robot, publish):
    version = publish(seed=1)
    assert robot.load(0).accepted
    base = robot.tick(gap=20)
    future = robot.client.call_async(LoadAdapter.Request(version=version))
    answered = []
    while not future.done():
        answered.append(robot.tick())
    adapted = robot.tick(gap=20)

    assert (future.result().accepted, future.result().version, future.result().message) == (True, version, "")
    assert answered
    assert all(chunk.fault == "" for chunk in answered)
    assert (base.adapter_version, adapted.adapter_version) == (0, version)
    assert list(base.log_probs) != list(adapted.log_probs)
    robot.until(lambda: robot.statuses[-1].version == version, "the status")
    status = robot.statuses[-1]
    assert (status.state, status.requested_version, status.reason) == ("LOADED", version, "")
    assert status.stage_ms > 0
    assert status.swap_ms > 0


def test_version_0_is_the_base_policy_again(robot, publish):
    robot.load(0)
    before = robot.tick(gap=20)
    robot.load(publish(seed=2))
    robot.tick(gap=20)
    robot.load(0)
    after = robot.tick(gap=20)

    assert after.adapter_version == 0
    assert list(after.log_probs) == list(before.log_probs)


def test_an_adapter_of_another_base_is_rejected_and_the_old_one_serves_on(robot, publish):
    good, bad = publish(seed=3), publish(base_model_sha256="f" * 64)
    robot.load(good)
    before = robot.tick(gap=20)
    rejected = robot.load(bad)
    after = robot.tick(gap=20)

    assert (rejected.accepted, rejected.version) == (False, good)
    assert "base_model_sha256 = ffffffffffff... is not that of the policy's base model" in rejected.message
    robot.until(lambda: robot.statuses[-1].state == "REJECTED", "the status")
    assert (robot.statuses[-1].version, robot.statuses[-1].requested_version) == (good, bad)
    assert robot.statuses[-1].reason == rejected.message
    assert after.adapter_version == before.adapter_version == good
    assert list(after.values) == list(before.values)


def test_an_adapter_of_the_old_action_labels_serves_with_a_warning(robot, publish):
    version = publish(seed=7, action_labels="rebinned")
    answer = robot.load(version)
    assert (answer.accepted, answer.version) == (True, version)
    assert f"adapter {version} was trained before saturated actions kept their tokens" in answer.message
    robot.until(lambda: robot.statuses[-1].version == version, "the status")
    assert (robot.statuses[-1].state, robot.statuses[-1].reason) == ("LOADED", answer.message)
    robot.until(lambda: robot.diagnostics().get("adapter_warning") == answer.message, "the warning in the diagnostics")
    robot.load(0)
    robot.until(lambda: robot.diagnostics().get("adapter_warning") == "", "the end of the warning")


def test_a_rollback_brings_back_what_served_before(robot, publish):
    robot.load(0)
    base = robot.tick(gap=20)
    version = publish(seed=6)
    robot.load(version)
    adapted = robot.tick(gap=20)
    back = robot.roll_back()
    after = robot.tick(gap=20)

    assert (back.success, back.message) == (True, "adapter 0 serves")
    assert (base.adapter_version, adapted.adapter_version, after.adapter_version) == (0, version, 0)
    assert list(after.log_probs) == list(base.log_probs)
    robot.until(lambda: (robot.statuses[-1].state, robot.statuses[-1].version) == ("LOADED", 0), "the status")
    assert robot.roll_back().message == f"adapter {version} serves"


def test_every_new_chunk_has_its_uncertainty_and_requests_help(robot):
    robot.load(0)
    robot.tick(gap=20)
    begin_ns = robot.stamp_ns
    chunks = [robot.tick() for _ in range(6)]
    new = {to_ns(chunk.observation_stamp): chunk for chunk in chunks if to_ns(chunk.observation_stamp) > begin_ns}

    def doubts() -> dict[int, ActionDoubt]:
        return {to_ns(doubt.header.stamp): doubt for doubt in robot.doubts}

    robot.until(lambda: set(new) <= set(doubts()), "the doubts")
    assert len(new) == 2
    assert not any(to_ns(chunk.header.stamp) in doubts() for chunk in chunks if to_ns(chunk.header.stamp) not in new)
    for stamp_ns, chunk in new.items():
        doubt = doubts()[stamp_ns]
        assert doubt.log_prob == pytest.approx(np.mean(chunk.log_probs[:3]), rel=1e-5)
        assert 0.5 < doubt.entropy < 7 * np.log(256)
        assert (doubt.help_wanted, doubt.help_entropy, doubt.adapter_version) == (True, 0.5, 0)
    robot.until(lambda: robot.diagnostics().get("help_wanted") == "true", "the request in the diagnostics")


def test_an_image_that_does_not_fit_the_contract_is_no_observation(robot):
    robot.tick(gap=20)
    count = len(robot.chunks)
    wrong = image_to_msg(np.zeros((10, 10, 3), np.uint8), robot.stamp_ns + PERIOD_NS, "agentview")
    robot.images["agentview"].publish(wrong)
    robot.tick()

    assert len(robot.chunks) == count + 1
    robot.until(lambda: robot.diagnostics().get("messages_rejected") == "1", "the count of rejected messages")
    assert robot.diagnostics()["adapter_version"] == str(robot.chunks[-1].adapter_version)
    assert int(robot.diagnostics()["answers_new_trial"]) >= 1


def test_topics_that_keep_it_from_observations_are_named(robot):
    robot.tick(gap=20)
    robot.wait(80)
    robot.until(lambda: "no message for" in robot.diagnosis(), "the diagnosis of silent topics")
    assert "topic agentview/image_raw ('agentview'): no message for" in robot.diagnosis()
    assert "topic ee_pose ('ee_pose'): no message for" in robot.diagnosis()
    robot.tick(gap=20)
    robot.until(lambda: "no message for" not in robot.diagnosis(), "the diagnosis of an observation")


def test_a_second_policy_node_is_named(robot):
    second = robot.node.create_publisher(ActionChunk, "policy/chunk", COMMANDS)
    robot.until(lambda: robot.diagnosis().startswith("2 nodes publish /policy/chunk"), "the diagnosis of the second")
    assert "(/policy, /robot): end one, or give one stack another ROS_DOMAIN_ID or --namespace" in robot.diagnosis()
    robot.node.destroy_publisher(second)
    robot.until(lambda: "nodes publish" not in robot.diagnosis(), "the diagnosis of one policy node")


def test_it_follows_its_store_and_revokes_its_chunk_at_the_end(ros_domain, tmp_path, parameters, publish, store):
    version = publish(seed=4)
    process = start(ros_domain, tmp_path, {**parameters, "adapter_version": version, "promotion": "gate"})
    robot = Robot(ros_domain)
    try:
        robot.until(lambda: robot.found() or process.poll() is not None, "the node")
        assert process.poll() is None, process.stderr.read()
        assert robot.tick().adapter_version == version
        newer = publish(seed=5)
        robot.until(lambda: robot.statuses[-1].version == newer, "the newer adapter, unasked")
        pointer = store.path / "current.json"
        pointer.rename(tmp_path / "kept.json")
        pointer.write_text("{")
        robot.until(lambda: "is rejected" in robot.diagnostics().get("adapter_store_fault", ""), "the damaged pointer")
        assert robot.tick(gap=20).adapter_version == newer
        (tmp_path / "kept.json").rename(pointer)
        robot.until(lambda: robot.diagnostics()["adapter_store_fault"] == "", "the repaired pointer")
        process.send_signal(signal.SIGINT)
        robot.until(lambda: robot.chunks[-1].fault != "", "the last message")
        stderr = process.communicate(timeout=WAIT_S)[1]
    finally:
        process.kill()
        robot.close()

    assert "deactivated" in robot.chunks[-1].fault
    assert len(robot.chunks[-1].values) == 0
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def test_a_published_adapter_drives_drawn_episodes_on_trial(ros_domain, tmp_path, parameters, publish):
    own = AdapterStore(tmp_path / "adapters")
    staged = {"adapter_dir": str(own.path), "promotion": "staged", "shadow_steps": 2, "poll_s": 0.05}
    process = start(ros_domain, tmp_path, {**parameters, **staged})
    robot = Robot(ros_domain)
    trials = []
    robot.node.create_subscription(AdapterTrial, "policy/trial", trials.append, LATCHED)
    events = robot.node.create_publisher(EpisodeEvent, "recorder/event", COMMANDS)
    try:
        robot.until(lambda: robot.found() or process.poll() is not None, "the node")
        assert process.poll() is None, process.stderr.read()
        robot.until(lambda: events.get_subscription_count() == 1, "the node's subscription")
        assert publish(seed=6, to=own) == 1
        robot.until(lambda: trials and trials[-1].stage == "shadow", "the shadow of the new adapter")
        robot.until(lambda: robot.tick(gap=20) is not None and trials[-1].stage == "canary", "the end of the shadow")
        assert {chunk.adapter_version for chunk in robot.chunks} == {0}
        events.publish(EpisodeEvent(event=EpisodeEvent.ENDED, episode_id="e1"))
        robot.until(lambda: own.trial(1).waiting is not None, "the draw")
        drawn = own.trial(1).waiting.version
        robot.until(lambda: robot.tick(gap=20).adapter_version == drawn, "chunks of the drawn adapter")
        assert (trials[-1].candidate, trials[-1].serving, trials[-1].stage) == (1, 0, "canary")
        assert trials[-1].shadow_steps >= 2
        robot.until(lambda: robot.diagnostics().get("trial", "").startswith("adapter 1 canary: "), "the diagnostics")
    finally:
        process.kill()
        process.communicate()
        robot.close()


def test_it_holds_while_a_camera_is_frozen_and_the_arm_moves(ros_domain, tmp_path, parameters):
    process = start(ros_domain, tmp_path, {**parameters, "frozen_content": "hold"})
    robot = Robot(ros_domain)
    try:
        robot.until(lambda: robot.found() or process.poll() is not None, "the node")
        assert process.poll() is None, process.stderr.read()
        answers = [robot.tick(x=0.01 * step) for step in range(12)]
        robot.until(lambda: robot.diagnosis().startswith("frozen content: "), "the diagnosis of the cameras")
        again = robot.tick(level=101)
        robot.until(lambda: not robot.diagnosis().startswith("frozen content: "), "the diagnosis of new pictures")
    finally:
        process.kill()
        process.communicate()
        robot.close()

    assert [bool(answer.fault) for answer in answers] == [False] * 10 + [True] * 2
    start_of = "frozen content: topic agentview/image_raw ('agentview'): for 11 observations it shows a picture that is"
    assert answers[10].fault.startswith(f"{start_of} 100 in every pixel while the arm moved 0.10 m; topic wrist/")
    assert not again.fault and again.observation_stamp == again.header.stamp


def test_a_checkpoint_of_another_contract_does_not_start(ros_domain, tmp_path, parameters, checkpoint, capfd):
    document = yaml.safe_load(CONTRACT_FILE.read_text())
    document["rate_hz"] = 10.0
    (tmp_path / "contract.yaml").write_text(json.dumps(document))
    file = parameter_file(tmp_path, {**parameters, "contract_file": str(tmp_path / "contract.yaml")})
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = run(PolicyNode, ["--ros-args", "--params-file", str(file)])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    assert status == 2
    assert f"checkpoint_dir = {checkpoint} was trained for contract {CONTRACT.sha256[:12]}" in capfd.readouterr().err
