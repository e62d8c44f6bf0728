import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from apo_vla.actions.classes import ActionClasses
from apo_vla.decoding.greedy import greedy_decode, positions

STEPS = 4


@pytest.fixture
def causal() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, tie_word_embeddings=False, **shape)).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.mul_(8.0)  # far from uniform, so that a difference shows
    return model


def decode(causal, prefix, mask=None, classes=None):
    embedding, head = causal.model.embed_tokens.weight, causal.lm_head.weight
    with torch.inference_mode():
        return greedy_decode(causal.model, prefix, mask, embedding, head, STEPS, classes)


@pytest.fixture
def prefix() -> torch.Tensor:
    return torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))


def test_tokens_are_those_of_transformers_generate(causal, prefix):
    options = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False, "eos_token_id": None}
    mask = torch.ones(prefix.shape[:2], dtype=torch.long)
    wanted = causal.generate(inputs_embeds=prefix, attention_mask=mask, **options)
    tokens, log_probs = decode(causal, prefix)
    assert tokens.tolist() == wanted.tolist()
    assert log_probs.shape == (2, STEPS) and (log_probs <= 0).all()


def test_padding_in_the_prefix_changes_nothing(causal, prefix):
    alone_tokens, alone_scores = decode(causal, prefix[:, [0, 2, 3, 4]])
    mask = torch.tensor([[True, False, True, True, True]] * 2)
    tokens, scores = decode(causal, prefix, mask)
    assert tokens.tolist() == alone_tokens.tolist()
    torch.testing.assert_close(scores, alone_scores, rtol=0, atol=1e-4)


def test_tokens_of_one_action_share_their_probability(causal, prefix):
    tokens, scores = decode(causal, prefix)
    joined = torch.arange(32).numpy()[None].copy()
    joined[0, :] = 31  # every token is the same action
    same, certain = decode(causal, prefix, classes=ActionClasses(joined))
    assert same.tolist() == tokens.tolist()
    torch.testing.assert_close(certain, torch.zeros_like(scores), rtol=0, atol=1e-5)


def test_positions_count_what_is_not_padding():
    mask = torch.tensor([[True, False, False, True], [False, True, True, True]])
    assert positions(mask).tolist() == [[0, 0, 0, 1], [0, 0, 1, 2]]
