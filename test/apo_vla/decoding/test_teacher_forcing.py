"""The layer-by-layer pass equals transformers' own forward, adapters and gradients included."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from apo_vla.decoding.teacher_forcing import Completions, hidden_states
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters

torch.set_num_threads(1)


@pytest.fixture(params=[4, 2], ids=["as many key-value heads", "grouped heads"])
def llama(request):
    """Two layers with an adapter that is not zero."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=request.param,
        attn_implementation="sdpa",
    )
    model = LlamaModel(config).eval()
    attach_lora(model, LoraSettings(rank=2, alpha=4.0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def embeddings(*shape, seed=1):
    return torch.randn(*shape, 32, generator=torch.Generator().manual_seed(seed))


def plain(model, prefix, tokens):
    """What transformers computes, at the action positions."""
    x = torch.cat([prefix, tokens], dim=1)
    hidden = model(inputs_embeds=x, use_cache=False).last_hidden_state
    return hidden[:, prefix.shape[1] - 1 :]


def gradients(model, hidden):
    parameters = list(lora_parameters(model).values())
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    return torch.autograd.grad((hidden * weights).sum(), parameters)


def test_hidden_states_and_gradients_are_those_of_transformers(llama):
    prefix, tokens = embeddings(3, 5), embeddings(3, 2, seed=3)
    wanted, got = plain(llama, prefix, tokens), hidden_states(llama, prefix, tokens)[0]
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    pairs = zip(gradients(llama, got), gradients(llama, wanted), strict=True)
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-4) for a, b in pairs)


def test_other_completions_are_as_if_each_had_a_pass_of_its_own(llama):
    prefix, tokens, other = embeddings(3, 5), embeddings(3, 2, seed=3), embeddings(2, 2, seed=4)
    alone = hidden_states(llama, prefix, tokens)[0]
    hidden, others = hidden_states(llama, prefix, tokens, Completions([2, 0], other))
    assert torch.equal(hidden, alone)
    assert not others.requires_grad
    torch.testing.assert_close(others, plain(llama, prefix[[2, 0]], other), atol=1e-5, rtol=1e-5)


def test_an_action_of_one_token_needs_the_prefix_only(llama):
    prefix, none = embeddings(3, 5), embeddings(3, 0)
    hidden, others = hidden_states(llama, prefix, none, Completions([1], none[:1]))
    torch.testing.assert_close(hidden, plain(llama, prefix, none), atol=1e-5, rtol=1e-5)
    assert torch.equal(others, hidden[[1]])


def test_without_other_completions_there_are_none(llama):
    assert hidden_states(llama, embeddings(3, 5), embeddings(3, 2))[1].shape == (0, 3, 32)


def test_checkpointing_changes_no_gradient(llama):
    prefix, tokens, others = embeddings(3, 5), embeddings(3, 2, seed=3), Completions([0], embeddings(1, 2, seed=4))
    kept, again = (hidden_states(llama, prefix, tokens, others, checkpointing=flag) for flag in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))
    pairs = zip(gradients(llama, kept[0]), gradients(llama, again[0]), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
