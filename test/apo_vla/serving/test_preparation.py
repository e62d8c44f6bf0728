"""What is done to a model before it serves."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from apo_vla.lora.adapter import LoraSettings, attach_lora
from apo_vla.serving.preparation import merges


@pytest.mark.parametrize(
    ("layers", "dtype", "device", "precision", "expected"),
    [
        (8, torch.float32, "cpu", "checkpoint", True),
        (9, torch.float32, "cpu", "checkpoint", False),
        (16, torch.bfloat16, "cpu", "bfloat16", True),
        (17, torch.bfloat16, "cpu", "bfloat16", False),
        (1, torch.float32, "cpu", "int8", False),
        (1, torch.bfloat16, "cuda:0", "checkpoint", False),
    ],
)
def test_adapters_are_merged_into_copies_of_at_most_512_mib_on_a_cpu(layers, dtype, device, precision, expected):
    # 64 MiB a layer in float32
    config = LlamaConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=layers, num_attention_heads=8, vocab_size=8
    )
    with torch.device("meta"):
        model = LlamaModel(config).to(dtype)
        attach_lora(model, LoraSettings(rank=4))
    assert merges(model, torch.device(device), precision) is expected
