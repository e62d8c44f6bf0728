"""Latency of a chunk of a 7B language model with random weights in bfloat16 on a GPU, beside transformers' generate().

The floor is what reading every weight once a token takes at the memory bandwidth measured here, plus the measured
prefill. Without a GPU nothing is measured, and the benchmark reports that.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from figure import SKIPPED, Figure
from transformers import LlamaConfig, LlamaForCausalLM

from apo_vla.decoding.cuda_graphs import GraphCache
from apo_vla.decoding.static import StaticDecoder
from apo_vla.lora.adapter import LoraSettings, attach_lora

LENGTH, STEPS, ACTIONS = 280, 7, 256  # OpenVLA: 256 image tokens and a prompt, one action
ROUNDS = 20
LLAMA_2_7B = {
    "vocab_size": 32064,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "tie_word_embeddings": False,
}


def median_ms(run: Callable[[], object], wait: Callable[[], None]) -> float:
    """Median of the time until the device is done."""
    times = []
    for turn in range(ROUNDS + 3):
        begin = time.perf_counter()
        run()
        wait()
        if turn >= 3:
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def random_model(shape: dict, device: str) -> LlamaForCausalLM:
    """A model with LoRA of rank 32 in bfloat16, made where it stays."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(LlamaConfig(**shape)).eval()
            attach_lora(model, LoraSettings(rank=32, alpha=16.0))
    finally:
        torch.set_default_dtype(torch.float32)
    return model.to(torch.bfloat16)


def measure(shape: dict, device: str, graphs: GraphCache, wait: Callable[[], None], read_bytes: int) -> str:
    """Emits the figures; what else was measured."""
    model = random_model(shape, device)
    prefix = torch.randn(1, LENGTH, shape["hidden_size"], device=device, dtype=torch.bfloat16)
    mask = torch.ones(1, LENGTH, dtype=torch.int64, device=device)
    options = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False}
    decoder = StaticDecoder(model.model, merge=False)
    embedding, head = model.model.embed_tokens.weight[-ACTIONS:], model.lm_head.weight[-ACTIONS:]

    def chunk(steps: int) -> None:
        graphs(f"{steps}", lambda x: decoder.generate(x, embedding, head, steps), prefix)

    source = torch.empty(read_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    with torch.inference_mode():
        naive = median_ms(lambda: model.generate(inputs_embeds=prefix, attention_mask=mask, **options), wait)
        whole, prefill = median_ms(lambda: chunk(STEPS), wait), median_ms(lambda: chunk(1), wait)
        # a copy reads and writes each byte
        bytes_per_ms = 2 * read_bytes / median_ms(lambda: target.copy_(source), wait)
    weights = sum(p.numel() * p.element_size() for p in model.model.layers.parameters())
    floor = (STEPS - 1) * weights / bytes_per_ms + prefill
    Figure("gpu_chunk_over_floor", whole / floor, "x", 1.3, True, ROUNDS, floor, whole / floor).emit()
    Figure("gpu_chunk_speedup", naive / whole, "x", 1.0, False, ROUNDS, naive, whole / naive).emit()
    return f"chunk {whole:.1f} ms, prefill {prefill:.1f} ms, floor {floor:.1f} ms, generate() {naive:.1f} ms"


def main() -> None:
    if not torch.cuda.is_available():
        print("skipped: no CUDA device", file=sys.stderr)
        raise SystemExit(SKIPPED)
    text = measure(LLAMA_2_7B, "cuda", GraphCache(), torch.cuda.synchronize, 1 << 30)
    print(f"{torch.cuda.get_device_name()}: {text}")


if __name__ == "__main__":
    main()
