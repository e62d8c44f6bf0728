import threading

import numpy as np
import pytest
import torch
from small_policy import teacher_forced

from apo_core.errors import AdapterError, ObservationError
from apo_vla.lora.adapter import LoraSettings, lora_state

SETTINGS = LoraSettings(rank=4)


def random_adapter(policy, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, v.shape).astype(np.float32) for name, v in lora_state(policy.model).items()}


def test_a_chunk_is_the_decoded_greedy_tokens(tiny_policy, observation):
    policy, seen = tiny_policy(), observation()
    chunk = policy.predict(seen)
    assert (chunk.observation_stamp_ns, chunk.period_ns, chunk.adapter_version) == (1_000, 50_000_000, 0)
    assert chunk.values.shape == (2, 7) and chunk.values.dtype == np.float32 and chunk.log_probs.shape == (2,)
    tokens, log_probs = policy.generate(policy.prepare([seen.images], [seen.state], seen.instruction))
    np.testing.assert_array_equal(chunk.values, policy.codec.decode(tokens.reshape(2, 7)))
    np.testing.assert_allclose(chunk.log_probs, log_probs.reshape(2, 7).sum(axis=1), rtol=1e-6)
    assert (chunk.log_probs < 0).all()


def test_predictions_depend_on_images_and_instruction(tiny_policy, observation):
    policy = tiny_policy()
    base = policy.predict(observation(0))
    assert not np.array_equal(policy.predict(observation(1)).log_probs, base.log_probs)
    other = policy.predict(observation(0, "stack the red cube on the green cube"))
    assert not np.array_equal(other.log_probs, base.log_probs)
    np.testing.assert_array_equal(policy.predict(observation(0)).log_probs, base.log_probs)


def test_training_and_serving_prepare_alike_but_for_the_augmentation(tiny_policy, observation):
    policy, seen = tiny_policy(), [observation(0), observation(1)]
    arguments = [o.images for o in seen], [o.state for o in seen], [o.instruction for o in seen]
    batch = policy.prepare(*arguments)
    assert batch.images.shape == (2, 2, 3, 32, 32) and batch.state.shape == (2, 8) and batch.prompt_ids.shape == (2, 12)
    alone = policy.prepare([seen[1].images], [seen[1].state], seen[1].instruction)
    assert all(torch.equal(a[0], b[1]) for a, b in zip(alone, batch, strict=True))
    augmented = policy.prepare(*arguments, rng=np.random.default_rng(0))
    again = policy.prepare(*arguments, rng=np.random.default_rng(0))
    assert torch.equal(augmented.images, again.images) and not torch.equal(augmented.images, batch.images)
    assert torch.equal(augmented.state, batch.state) and torch.equal(augmented.prompt_ids, batch.prompt_ids)


def test_an_adapter_serves_from_the_next_prediction_on(tiny_policy, observation):
    policy, seen = tiny_policy(SETTINGS), observation()
    base = policy.predict(seen)
    policy.swap(policy.stage(random_adapter(policy)), 3)
    served = policy.predict(seen)
    assert policy.adapter_version == served.adapter_version == 3
    assert not np.array_equal(served.log_probs, base.log_probs)
    policy.use_base()
    back = policy.predict(seen)
    assert back.adapter_version == 0
    np.testing.assert_array_equal(back.values, base.values)
    np.testing.assert_array_equal(back.log_probs, base.log_probs)


def test_version_0_is_never_an_adapter(tiny_policy):
    policy = tiny_policy(SETTINGS)
    with pytest.raises(AdapterError, match="version = 0 must be at least 1"):
        policy.swap(policy.stage(random_adapter(policy)), 0)


def test_predictions_beside_swaps_are_of_one_adapter(tiny_policy, observation):
    policy, seen = tiny_policy(SETTINGS), observation()
    staged = {version: policy.stage(random_adapter(policy, version)) for version in (1, 2)}
    expected = {}
    for version, one in staged.items():
        policy.swap(one, version)
        expected[version] = policy.predict(seen).log_probs
    stop = threading.Event()

    def swap_all_the_time():
        while not stop.is_set():
            for version, one in staged.items():
                policy.swap(one, version)

    thread = threading.Thread(target=swap_all_the_time)
    thread.start()
    try:
        for _ in range(20):
            chunk = policy.predict(seen)
            np.testing.assert_array_equal(chunk.log_probs, expected[chunk.adapter_version])
    finally:
        stop.set()
        thread.join()


def test_an_observation_that_does_not_fit_is_rejected(tiny_policy, observation):
    policy, seen = tiny_policy(), observation()
    with pytest.raises(ObservationError, match=r"images \['wrist'\] are missing"):
        policy.prepare([{"agentview": seen.images["agentview"]}], [seen.state], "lift the red cube")
    with pytest.raises(ObservationError, match="'gripper_width'"):
        policy.prepare([seen.images], [{"ee_pose": seen.state["ee_pose"]}], "lift the red cube")
    with pytest.raises(ObservationError, match="must be equal"):
        policy.prepare([seen.images], [seen.state], ["one", "two"])


def test_a_policy_names_its_origin(tiny_policy):
    policy = tiny_policy()
    assert (policy.base_sha256, policy.statistics_sha256, policy.contract_sha256) == ("base", "statistics", "c0ffee")
    assert policy.chunk == 2


def test_logprobs_of_the_generated_tokens_are_those_of_generate(tiny_policy, observation):
    policy = tiny_policy(LoraSettings())
    batch = policy.prepare([observation(1).images], [observation(1).state], "lift the red cube")
    tokens, log_probs = policy.generate(batch)
    found = teacher_forced(policy, batch, tokens)
    np.testing.assert_allclose(found.detach().numpy(), log_probs, atol=1e-5)
    found.sum().backward()  # the trainer's gradient reaches the adapter
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.model.parameters())


def test_a_chunk_has_its_tokens(tiny_policy, observation):
    chunk = tiny_policy().predict(observation(2))
    assert chunk.tokens.shape == (14,) and chunk.tokens.dtype == np.int64
