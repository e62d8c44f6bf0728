"""A decoder repeats what transformers computes, with an adapter merged or beside, whatever the way it is bound."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.nearness import nearness_of_bins
from apo_vla.decoding.static import StaticDecoder
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters, lora_state, stage, swap

ACTIONS = 64  # rows of the vocabulary that may follow
STEPS = 6
VARIANTS = [
    {"num_key_value_heads": 1},
    {"head_dim": 2},
    {"attention_bias": True},
    {"mlp_bias": True},
    {"hidden_act": "gelu"},
    {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
]


@pytest.fixture
def causal() -> LlamaForCausalLM:
    """A language model in which the last rows of the vocabulary are the only ones that score."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=96,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            tie_word_embeddings=False,
        )
    ).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.mul_(8.0)  # far from uniform, so that a difference shows
        model.lm_head.weight[:-ACTIONS] = 0.0
    return model


@pytest.fixture
def prefix() -> torch.Tensor:
    return torch.randn(1, 11, 32, generator=torch.Generator().manual_seed(1))


def decode(causal, prefix, merge=True, committed=None, steps=STEPS, decoder=None):
    decoder = decoder or StaticDecoder(causal.model, merge)
    embedding, head = causal.model.embed_tokens.weight[-ACTIONS:], causal.lm_head.weight[-ACTIONS:]
    with torch.inference_mode():
        return decoder.generate(prefix, embedding, head, steps, committed)


def generated(causal, prefix) -> torch.Tensor:
    mask = torch.ones(prefix.shape[:2], dtype=torch.int64)
    ids = causal.generate(inputs_embeds=prefix, attention_mask=mask, max_new_tokens=STEPS, min_new_tokens=STEPS)
    return ids - (causal.config.vocab_size - ACTIONS)


def random_adapter(model, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.3, v.shape).astype(np.float32) for name, v in lora_state(model).items()}


@pytest.mark.parametrize("merge", [True, False])
def test_tokens_are_those_of_generate(causal, prefix, merge):
    expected = generated(causal, prefix)
    assert torch.equal(decode(causal, prefix, merge).tokens, expected)
    assert len(torch.unique(expected)) > 2


@pytest.mark.parametrize("merge", [True, False])
def test_an_adapter_counts_and_follows_what_is_copied_into_it(causal, prefix, merge):
    base = decode(causal, prefix, merge)
    attach_lora(causal, LoraSettings(rank=4))
    decoder = StaticDecoder(causal.model, merge)
    seen = [base]
    for seed in (1, 2):
        swap(causal, stage(causal, random_adapter(causal, seed)))
        seen.append(decode(causal, prefix, decoder=decoder))
        assert torch.equal(seen[-1].tokens, generated(causal, prefix))
        assert not torch.allclose(seen[-1].log_probs, seen[-2].log_probs)


def test_beside_the_weights_no_address_changes_with_an_adapter(causal, prefix):
    attach_lora(causal, LoraSettings(rank=4))
    decode(causal, prefix, decoder=(decoder := StaticDecoder(causal.model, merge=False)))
    addresses = [p.data_ptr() for p in causal.parameters()]
    swap(causal, stage(causal, random_adapter(causal, 1)))
    decode(causal, prefix, decoder=decoder)
    assert [p.data_ptr() for p in causal.parameters()] == addresses
    attention = causal.model.layers[0].self_attn
    weight = attention.q_proj.base_layer.weight
    assert attention.k_proj.base_layer.weight.data_ptr() == weight.data_ptr() + 4 * weight.numel()


def test_decoders_bound_one_after_the_other_follow_the_same_adapter(causal, prefix):
    attach_lora(causal, LoraSettings(rank=4))
    decoders = [StaticDecoder(causal.model, merge=False) for _ in range(2)]
    for seed in (1, 2):
        swap(causal, stage(causal, random_adapter(causal, seed)))
        first, second = (decode(causal, prefix, decoder=decoder) for decoder in decoders)
        assert torch.equal(first.tokens, generated(causal, prefix))
        assert torch.equal(first.log_probs, second.log_probs)


def test_binding_leaves_every_value_and_the_training_path_alone(causal, prefix):
    attach_lora(causal, LoraSettings(rank=4))
    swap(causal, stage(causal, random_adapter(causal, 1)))
    before = {name: value.clone() for name, value in causal.state_dict().items()}
    logits = causal(inputs_embeds=prefix).logits
    decode(causal, prefix, merge=False)
    assert all(torch.equal(value, before[name]) for name, value in causal.state_dict().items())
    causal(inputs_embeds=prefix).logits.sum().backward()
    torch.testing.assert_close(causal(inputs_embeds=prefix).logits, logits)
    assert all(p.grad is not None for p in lora_parameters(causal).values())


def test_log_probs_and_entropies_are_of_the_tokens_that_may_follow(causal, prefix):
    decoded = decode(causal, prefix)
    ids = decoded.tokens[:, :-1] + 96 - ACTIONS
    whole = torch.cat([prefix, causal.model.embed_tokens(ids)], dim=1)
    with torch.no_grad():
        logits = causal(inputs_embeds=whole).logits[:, -STEPS:, -ACTIONS:]
    log_probs = logits.log_softmax(-1)
    torch.testing.assert_close(decoded.log_probs, log_probs.max(-1).values, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decoded.entropies, -(log_probs.exp() * log_probs).sum(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("given", [1, 3, 4])
def test_committed_tokens_begin_the_result_and_the_rest_follows_them(causal, prefix, given):
    free = decode(causal, prefix)
    same = decode(causal, prefix, committed=free.tokens[:, :given])
    assert torch.equal(same.tokens, free.tokens)
    torch.testing.assert_close(same.log_probs, free.log_probs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(same.entropies, free.entropies, atol=1e-4, rtol=1e-4)
    forced = (free.tokens[:, :given] + 17) % ACTIONS
    other = decode(causal, prefix, committed=forced)
    assert torch.equal(other.tokens[:, :given], forced)
    assert (other.log_probs[:, :given] < free.log_probs[:, :given]).all()
    assert torch.equal(decode(causal, prefix, committed=other.tokens[:, : given + 1]).tokens, other.tokens)


def test_fewer_steps_are_the_beginning_of_more(causal, prefix):
    assert torch.equal(decode(causal, prefix, steps=2).tokens, decode(causal, prefix).tokens[:, :2])


def test_a_copy_decodes_with_the_weights_of_its_own_model(causal, prefix):
    decoder = StaticDecoder(causal.model)
    expected = decode(causal, prefix, decoder=decoder)
    model, copied = copy.deepcopy((causal, decoder))
    with torch.no_grad():
        causal.model.layers[0].mlp.up_proj.weight.mul_(-2.0)
    assert torch.equal(decode(model, prefix, decoder=copied).log_probs, expected.log_probs)
    assert not torch.equal(decode(causal, prefix, decoder=decoder).log_probs, expected.log_probs)


def test_compiled_code_is_equal_and_kept_for_another_adapter(causal, prefix, monkeypatch):
    # what is compiled and when, without the minutes of a code generator
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    attach_lora(causal, LoraSettings(rank=4))
    decoder = StaticDecoder(causal.model, merge=False)
    decoder.compile()
    graphs = []
    for seed in (1, 2, 3):
        swap(causal, stage(causal, random_adapter(causal, seed)))
        assert torch.equal(decode(causal, prefix, decoder=decoder).tokens, generated(causal, prefix))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert graphs[1:] == graphs[:1] * 2


@pytest.mark.parametrize("change", VARIANTS)
def test_a_variant_with_other_arithmetic_is_rejected(change):
    shape = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    with pytest.raises(ValueError, match="StaticDecoder cannot decode with this model: it needs"):
        StaticDecoder(LlamaModel(LlamaConfig(**{**shape, "num_attention_heads": 2, **change})))


def test_another_way_of_merging_keeps_all_else(causal, prefix):
    nearness = nearness_of_bins(ACTIONS, 3.0)
    decoder = StaticDecoder(causal.model, nearness=nearness)
    decoder.classes = ActionClasses(np.arange(ACTIONS)[None])
    other, layers = decoder.with_merge(False), []
    other.before_layer = lambda: layers.append(1)
    assert (other.model, other.classes) == (causal.model, decoder.classes)
    plain, merged, beside = (decode(causal, prefix, decoder=each).tokens.tolist() for each in (None, decoder, other))
    assert merged == beside != plain and layers
    again = other.with_merge(True)
    assert again.before_layer is other.before_layer
