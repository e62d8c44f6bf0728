import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from apo_vla.precision import convert


def test_parameters_change_and_rotary_frequencies_stay():
    model = LlamaModel(LlamaConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
    before = model.rotary_emb.inv_freq.clone()
    convert(model, torch.bfloat16)
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert model.rotary_emb.inv_freq.dtype == torch.float32 and torch.equal(model.rotary_emb.inv_freq, before)


def test_what_a_model_keeps_in_float32_stays():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model.stays_float32 = lambda name: name.startswith("1.")
    convert(model, torch.bfloat16)
    assert [value.dtype for value in model.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2
