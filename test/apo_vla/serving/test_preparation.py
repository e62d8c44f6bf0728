"""What is done to a model before it serves."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from apo_vla.lora.adapter import LoraSettings, attach_lora
from apo_vla.policy import VlaPolicy
from apo_vla.serving.preparation import merges, set_up
from apo_vla.serving.settings import ServingSettings


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


def test_rotary_frequencies_stay_float32_when_serving_in_bfloat16(openvla_folder):
    policy = VlaPolicy.load(openvla_folder, lora=None, dtype=torch.bfloat16)
    set_up(policy, ServingSettings(), "config/policy.yaml")
    assert {value.dtype for value in policy.model.parameters()} == {torch.bfloat16}
    tables = [buffer for name, buffer in policy.model.named_buffers() if name.endswith("rotary_emb.inv_freq")]
    # head size 16: 10000^(-2 i / 16)
    assert [table[1].item() for table in tables] == pytest.approx([10_000 ** (-2 / 16)])


def test_what_takes_states_and_times_stays_float32_in_bfloat16(flow_folder):
    policy = VlaPolicy.load(flow_folder("pi05"), lora=None, dtype=torch.bfloat16)
    set_up(policy, ServingSettings(), "config/policy.yaml")
    types = {name: value.dtype for name, value in policy.model.named_parameters()}
    assert types["time_mlp_in.weight"] == types["action_expert.norm.dense.weight"] == torch.float32
    assert types["action_expert.layers.0.mlp.up_proj.weight"] == torch.bfloat16
