"""An expert that attends to a prefix: equal to one model over the whole sequence, where it has that model's weights."""

import pytest
import torch
from transformers import GemmaConfig, GemmaModel, LlamaConfig, LlamaModel

from apo_vla.decoding.llama_layer import AdaptiveNorm
from apo_vla.decoding.prefix_cache import append_tokens, cache_prefix, expert_states, project_cache

SIZES = {
    "vocab_size": 8,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": None,
    "eos_token_id": None,
    "attn_implementation": "eager",
}
PREFIX, ROWS = 5, 3


@pytest.fixture(params=[(LlamaModel, LlamaConfig), (GemmaModel, GemmaConfig)], ids=["llama", "gemma"])
def model(request):
    kind, config = request.param
    torch.manual_seed(0)
    made = kind(config(**SIZES)).eval()
    with torch.no_grad():
        for value in made.parameters():
            if value.ndim == 2:
                value.mul_(8)
    return made


@pytest.fixture
def prefix():
    return torch.randn(2, PREFIX, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens():
    return torch.randn(2, 2, ROWS, 24, generator=torch.Generator().manual_seed(2))


def whole(model, sequence, visible=None):
    """Last states of a pass over a sequence (1, n, d); bool (n, n) of what is visible, None: causal."""
    mask = None if visible is None else torch.where(visible, 0.0, torch.finfo(torch.float32).min)[None, None]
    places = torch.arange(sequence.shape[1])[None]
    with torch.no_grad():
        return model(inputs_embeds=sequence, attention_mask=mask, position_ids=places, use_cache=False)[0]


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


def test_causal_tokens_of_each_draw_are_those_of_a_pass_of_its_own(model, prefix, tokens):
    with torch.no_grad():
        found = expert_states(model, cache_prefix(model, prefix), tokens, causal=True)
    for row in range(2):
        for draw in range(2):
            sequence = torch.cat([prefix[row], tokens[row, draw]])[None]
            close(found[row, draw], whole(model, sequence)[0, PREFIX:])


def test_tokens_that_see_each_other_are_those_of_a_pass_with_such_a_mask(model, prefix, tokens):
    seen = torch.ones(PREFIX, PREFIX, dtype=torch.bool)
    seen[:-1, -1] = False  # the last token sees the others, and they do not see it
    visible = torch.ones(PREFIX + ROWS, PREFIX + ROWS, dtype=torch.bool)
    visible[:PREFIX, :PREFIX], visible[:PREFIX, PREFIX:] = seen, False
    with torch.no_grad():
        found = expert_states(model, cache_prefix(model, prefix, visible=seen), tokens)
    close(found[1, 0], whole(model, torch.cat([prefix[1], tokens[1, 0]])[None], visible)[0, PREFIX:])


def test_padding_takes_no_position_and_is_not_seen(model, prefix, tokens):
    known = torch.tensor([[True] * 5, [True, True, False, False, True]])
    with torch.no_grad():
        cache = cache_prefix(model, prefix, known)
        found = expert_states(model, cache, tokens, causal=True)
    assert cache.ends.tolist() == [5, 3]
    shorter = torch.cat([prefix[1][known[1]], tokens[1, 0]])[None]
    close(found[1, 0], whole(model, shorter)[0, 3:])
    close(found[0, 1], whole(model, torch.cat([prefix[0], tokens[0, 1]])[None])[0, PREFIX:])


def test_padding_on_the_left_of_a_causal_prefix_makes_no_nan(model, prefix, tokens):
    known = torch.tensor([[True] * 5, [False, False, True, True, True]])
    with torch.no_grad():
        found = expert_states(model, cache_prefix(model, prefix, known), tokens, causal=True)
    close(found[1, 0], whole(model, torch.cat([prefix[1, 2:], tokens[1, 0]])[None])[0, 3:])


def test_an_appended_token_is_one_of_the_prefix(model, prefix, tokens):
    with torch.no_grad():
        cache = append_tokens(model, cache_prefix(model, prefix[:, :-1]), prefix[:, -1:])
        found = expert_states(model, cache, tokens, causal=True)
        wanted = expert_states(model, cache_prefix(model, prefix), tokens, causal=True)
    assert cache.ends.tolist() == [5, 5] and cache.known.shape == (2, 5)
    close(found, wanted)


def test_in_crossing_layers_tokens_see_the_prefix_alone(model, prefix, tokens):
    layers = range(3)
    for layer in model.layers:
        for name in ("k_proj", "v_proj"):
            setattr(layer.self_attn, name, torch.nn.Linear(16, 16, bias=False))
    source = type(model)(model.config).eval()
    with torch.no_grad():
        plain = cache_prefix(source, prefix)
        cache = project_cache(model, plain, layers)
        found = expert_states(model, cache, tokens, crossing=layers)
        alone = expert_states(model, cache, tokens[:, :, :1], crossing=layers)
    close(found[:, :, :1], alone)
    keys = plain.layers[1][0].transpose(1, 2).flatten(2)
    close(cache.layers[1][0].transpose(1, 2).flatten(2), model.layers[1].self_attn.k_proj(keys).detach())


def test_chosen_rows_have_no_gradient(model, prefix, tokens):
    prefix.requires_grad_()
    cache = cache_prefix(model, prefix)
    chosen = cache.rows([1])
    assert not chosen.layers[0][0].requires_grad and cache.layers[0][0].requires_grad
    with torch.no_grad():
        close(expert_states(model, chosen, tokens[1:]), expert_states(model, cache, tokens)[1:])


def test_checkpointing_changes_no_gradient(model, prefix, tokens):
    gradients = []
    for checkpointing in (False, True):
        leaf = prefix.clone().requires_grad_()
        cache = cache_prefix(model, leaf, checkpointing=checkpointing)
        expert_states(model, cache, tokens).square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_an_adaptive_norm_scales_shifts_and_gates():
    norm = AdaptiveNorm(2, 1, epsilon=0.0)
    with torch.no_grad():
        norm.dense.weight.copy_(torch.tensor([[1.0], [0.0], [0.0], [2.0], [0.5], [-1.0]]))
        norm.dense.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
        found, gate = norm(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[2.0]]]))
    # root mean square of (3, 4) is 3.5355; scales 2 and 1, shifts 0 and 4
    torch.testing.assert_close(found, torch.tensor([[[2.5456, 6.2627]]]), rtol=0, atol=1e-4)
    torch.testing.assert_close(gate, torch.tensor([[[1.0, -2.0]]]))


def test_the_condition_of_a_draw_reaches_all_its_tokens_and_no_other(prefix, tokens):
    torch.manual_seed(0)
    source, expert = (LlamaModel(LlamaConfig(**SIZES)).eval() for _ in range(2))
    for layer in expert.layers:
        layer.input_layernorm, layer.post_attention_layernorm = AdaptiveNorm(24, 6), AdaptiveNorm(24, 6)
    expert.norm = AdaptiveNorm(24, 6)
    condition = torch.randn(2, 2, 6)
    with torch.no_grad():
        cache = cache_prefix(source, prefix)
        first = expert_states(expert, cache, tokens, condition=condition)
        condition[:, 1] += 1
        second = expert_states(expert, cache, tokens, condition=condition)
    torch.testing.assert_close(first[:, 0], second[:, 0])
    assert ((first[:, 1] - second[:, 1]).abs().amax(-1) > 1e-3).all()
