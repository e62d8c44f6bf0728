"""A policy as it serves predicts what the loaded policy does, whatever it reuses, records or shares."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from replayed import Replayed
from small_policy import forward_passes, random_adapter

from apo_core.errors import AdapterError, CheckpointError, ConfigError
from apo_core.served_policy import PolicyCapabilities
from apo_vla.decoding.cuda_graphs import GraphCache
from apo_vla.families.small_vla.model import SmallVla
from apo_vla.lora.adapter import LoraSettings
from apo_vla.policy import VlaPolicy
from apo_vla.serving.policy import ServingPolicy, load_for_serving
from apo_vla.serving.settings import ServingSettings

LORA = LoraSettings(rank=4)


class Whole:
    """A model that predicts whole chunks in a way of its own."""

    def __init__(self, model):
        self._model = model
        self.capabilities = dataclasses.replace(model.capabilities, decodes_tokens=False)

    def __getattr__(self, name):
        return getattr(self._model, name)


def same(one, other) -> None:
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_allclose(one.log_probs, other.log_probs, rtol=1e-5)
    assert one.adapter_version == other.adapter_version
    assert one.observation_stamp_ns == other.observation_stamp_ns


def test_it_serves_what_the_policy_predicts(tiny_policy, observation):
    policy = tiny_policy(LORA)
    expected = policy.predict(observation())
    serving = ServingPolicy(policy)
    chunk = serving.predict(observation())
    same(chunk, expected)
    assert chunk.entropies.shape == (2,) and chunk.entropies.dtype == np.float32
    assert (chunk.entropies > 0).all() and (chunk.entropies < 7 * np.log(256)).all()
    assert (serving.base_sha256, serving.statistics_sha256, serving.contract_sha256) == ("base", "statistics", "c0ffee")
    assert (serving.chunk, serving.adapter_version) == (2, 0)
    assert serving.capabilities == PolicyCapabilities(committed_rows=True, entropies=True)


def test_a_tolerance_in_decoding_is_served_too(tiny_model, tiny_tokenizer, tiny_statistics, observation):
    chosen = []
    for tolerance in (0.0, 3.0):
        model = SmallVla(dataclasses.replace(tiny_model.config, decode_tolerance=tolerance)).eval()
        model.load_state_dict(tiny_model.state_dict())
        policy = VlaPolicy(model, tiny_tokenizer, tiny_statistics, lora=LORA)
        expected = policy.predict(observation())
        same(ServingPolicy(policy).predict(observation()), expected)
        chosen.append(expected.values)
    assert not np.array_equal(*chosen)


def test_a_frame_seen_in_the_call_before_is_not_encoded_again(tiny_policy, observation):
    policy = tiny_policy(LORA)
    encoded, serving = forward_passes(*policy.model.image_encoders), ServingPolicy(policy)
    first, second = observation(0), observation(1)
    expected = serving.predict(first)
    assert len(encoded) == 2
    same(serving.predict(first), expected)
    assert len(encoded) == 2
    mixed = type(first)(first.stamp_ns, {**second.images, "agentview": first.images["agentview"]}, first.state, "lift")
    found = serving.predict(mixed)
    assert len(encoded) == 3
    same(found, ServingPolicy(tiny_policy()).predict(mixed))
    assert not np.array_equal(found.log_probs, expected.log_probs)


def test_rows_shorten_a_chunk_and_its_decoding(tiny_policy, observation):
    serving = ServingPolicy(tiny_policy(LORA))
    whole, short = serving.predict(observation()), serving.predict(observation(), rows=1)
    np.testing.assert_array_equal(short.values, whole.values[:1])
    np.testing.assert_allclose(short.entropies, whole.entropies[:1], rtol=1e-4)
    assert len(short.tokens) == 7


def test_a_chunk_begins_with_the_committed_actions(tiny_policy, observation):
    policy = tiny_policy(LORA)
    serving = ServingPolicy(policy)
    free = serving.predict(observation())
    given = np.full((1, 7), 0.25, np.float32)
    chunk = serving.predict(observation(), committed=given)
    np.testing.assert_array_equal(chunk.values[:1], policy.codec.decode(policy.codec.encode(given)))
    assert not np.array_equal(chunk.values[:1], free.values[:1])
    assert chunk.log_probs[0] < free.log_probs[0]
    same(serving.predict(observation(), committed=free.values[:1]), free)


def test_an_adapter_is_swapped_in_and_the_base_comes_back(tiny_policy, observation):
    policy = tiny_policy(LORA)
    serving = ServingPolicy(policy)
    base = serving.predict(observation())
    serving.swap(serving.stage(random_adapter(policy.model)), 3)
    adapted = serving.predict(observation())
    assert (serving.adapter_version, adapted.adapter_version) == (3, 3)
    assert not np.array_equal(adapted.log_probs, base.log_probs)
    serving.use_base()
    same(serving.predict(observation()), base)
    with pytest.raises(AdapterError, match="must be at least 1"):
        serving.swap(serving.stage(random_adapter(policy.model)), 0)


def test_the_second_slot_tries_an_adapter_on_the_same_weights(tiny_policy, observation):
    policy = tiny_policy(LORA)
    serving = ServingPolicy(policy)
    base = serving.predict(observation())
    second = serving.second_slot()
    staged = serving.stage(random_adapter(policy.model))
    second.swap(staged, 5)
    tried = second.predict(observation())
    assert (tried.adapter_version, serving.adapter_version) == (5, 0)
    same(serving.predict(observation()), base)
    serving.swap(staged, 5)
    same(serving.predict(observation()), tried)


def test_recordings_serve_the_same_and_are_made_once_for_each_shape(tiny_policy, observation):
    policy = tiny_policy(LORA)
    expected = [policy.predict(observation(seed)) for seed in range(3)]
    serving = ServingPolicy(policy, graphs=GraphCache(Replayed))
    Replayed.made = 0
    for seed in range(3):
        same(serving.predict(observation(seed)), expected[seed])
    assert Replayed.made == 3  # two cameras and the decoder
    serving.predict(observation(0), committed=expected[0].values[:1])
    assert Replayed.made == 4
    serving.swap(serving.stage(random_adapter(policy.model)), 1)
    adapted = serving.predict(observation(0))
    assert Replayed.made == 4
    same(adapted, ServingPolicy(policy).predict(observation(0)))
    assert not np.array_equal(adapted.log_probs, expected[0].log_probs)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_another_precision_acts_alike(tiny_model, tiny_tokenizer, tiny_statistics, observation, precision):
    torch.manual_seed(0)
    model = SmallVla(dataclasses.replace(tiny_model.config, hidden=64, mlp=128)).eval()
    policy = VlaPolicy(model, tiny_tokenizer, tiny_statistics, lora=LORA)
    tensors = random_adapter(policy.model)
    policy.swap(policy.stage(tensors), 1)
    expected = policy.predict(observation())
    try:
        serving = ServingPolicy(policy, ServingSettings(precision))
    except ConfigError as error:
        pytest.skip(str(error))
    chunk = serving.predict(observation(), committed=expected.values[:1])
    np.testing.assert_array_equal(chunk.values[:1], expected.values[:1])
    np.testing.assert_allclose(chunk.log_probs[0], expected.log_probs[0], rtol=0.02)
    assert chunk.log_probs[0] != expected.log_probs[0]
    serving.use_base()
    serving.swap(serving.stage(tensors), 2)
    same(serving.second_slot().predict(observation()), serving.second_slot().predict(observation()))
    np.testing.assert_array_equal(serving.predict(observation(), expected.values[:1]).log_probs, chunk.log_probs)


def test_settings_that_the_device_cannot_do_are_rejected(tiny_policy):
    policy = tiny_policy(LORA)
    with pytest.raises(ConfigError, match="cuda_graphs = true needs device = cuda:0 or another GPU, got 'cpu'"):
        ServingPolicy(policy, ServingSettings(cuda_graphs=True))
    with pytest.raises(ConfigError, match=r"precision = 'int8': an int8 weight of shape \(32, 32\)"):
        ServingPolicy(policy, ServingSettings("int8"))


def test_a_number_format_without_instructions_is_rejected(tiny_policy, monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    policy = tiny_policy(LORA)
    for precision in ("bfloat16", "float16"):
        with pytest.raises(ConfigError, match=f"precision = '{precision}' cannot be used on device 'cpu'"):
            ServingPolicy(policy, ServingSettings(precision))


def test_a_model_with_a_decoding_of_its_own_is_served_whole(tiny_policy, observation):
    policy = tiny_policy(LORA)
    expected = policy.predict(observation())
    policy.model = Whole(policy.model)
    serving = ServingPolicy(policy)
    same(serving.predict(observation()), expected)
    cut = serving.predict(observation(), rows=1)
    assert len(cut.values) == len(cut.log_probs) == 1
    assert cut.tokens.tolist() == expected.tokens[:7].tolist()
    np.testing.assert_array_equal(policy.codec.decode(cut.tokens.reshape(1, 7)), cut.values)
    assert serving.capabilities == PolicyCapabilities(committed_rows=False, entropies=False)
    with pytest.raises(ValueError, match="whole chunks"):
        serving.predict(observation(), committed=expected.values[:1])
    with pytest.raises(ConfigError, match="compile = true cannot be used with this Whole"):
        ServingPolicy(policy, ServingSettings(compile=True))


def test_a_folder_without_checkpoint_cannot_be_served(tmp_path):
    with pytest.raises(CheckpointError):
        load_for_serving(tmp_path, "cpu", LORA, ServingSettings())


@pytest.mark.parametrize("precision", ["checkpoint", "int8"])
def test_predictions_beside_swaps_are_of_one_adapter(
    tiny_model, tiny_tokenizer, tiny_statistics, observation, precision
):
    torch.manual_seed(0)
    model = SmallVla(dataclasses.replace(tiny_model.config, hidden=64, mlp=64)).eval()
    policy = VlaPolicy(model, tiny_tokenizer, tiny_statistics, lora=LORA)
    serving, seen = ServingPolicy(policy, ServingSettings(precision)), observation()
    staged = {version: serving.stage(random_adapter(policy.model, version)) for version in (1, 2)}
    expected = {}
    for version, one in staged.items():
        serving.swap(one, version)
        expected[version] = serving.predict(seen).log_probs
    assert not np.array_equal(expected[1], expected[2])
    stop, second = threading.Event(), serving.second_slot()

    def swap_all_the_time():
        while not stop.is_set():
            for version, one in staged.items():
                serving.swap(one, version)
                second.swap(one, version)
                second.predict(seen)

    thread = threading.Thread(target=swap_all_the_time)
    thread.start()
    try:
        for _ in range(20):
            chunk = serving.predict(seen)
            np.testing.assert_array_equal(chunk.log_probs, expected[chunk.adapter_version])
    finally:
        stop.set()
        thread.join()
