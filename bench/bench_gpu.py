"""Latency of a chunk of a 7B language model with random weights in bfloat16 on a GPU, beside transformers' generate().

The floor is what reading every weight once a token takes at the memory bandwidth measured here, plus the measured
prefill. Without a GPU nothing is measured, and the benchmark says so.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from figure import SKIPPED, Figure
from transformers import LlamaConfig, LlamaForCausalLM

from apo_core.vla.graphs import GraphCache
from apo_core.vla.lora import LoraSettings, attach_lora
from apo_core.vla.static_decoder import StaticDecoder

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


def median_ms(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median of the time until the device is done."""
    times = []
    for turn in range(rounds + 3):
        begin = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if turn >= 3:
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def bytes_per_ms() -> float:
    """Bytes that the memory gives in a millisecond, reading; half of what a copy moves is read."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / median_ms(lambda: target.copy_(source))


def main() -> None:
    if not torch.cuda.is_available():
        print("skipped: no CUDA device", file=sys.stderr)
        raise SystemExit(SKIPPED)
    torch.manual_seed(0)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        causal = LlamaForCausalLM(LlamaConfig(**LLAMA_2_7B)).eval()
        attach_lora(causal, LoraSettings(rank=32, alpha=16.0))
        torch.set_default_dtype(torch.float32)
    causal.to(torch.bfloat16)
    prefix = torch.randn(1, LENGTH, LLAMA_2_7B["hidden_size"], device="cuda", dtype=torch.bfloat16)
    mask = torch.ones(1, LENGTH, dtype=torch.int64, device="cuda")
    with torch.inference_mode():
        naive = median_ms(
            lambda: causal.generate(
                inputs_embeds=prefix, attention_mask=mask, max_new_tokens=STEPS, min_new_tokens=STEPS, do_sample=False
            )
        )
        decoder, graphs = StaticDecoder(causal.model, merge=False), GraphCache()
        embedding, head = causal.model.embed_tokens.weight[-ACTIONS:], causal.lm_head.weight[-ACTIONS:]

        def chunk(steps: int) -> Callable[[], object]:
            function = lambda x: decoder.generate(x, embedding, head, steps)  # noqa: E731
            return lambda: graphs(f"decode {steps}", function, prefix)

        whole, prefill = median_ms(chunk(STEPS)), median_ms(chunk(1))
    weights = sum(p.numel() * p.element_size() for p in causal.model.layers.parameters())
    floor = (STEPS - 1) * weights / bytes_per_ms() + prefill
    Figure("gpu_chunk_over_floor", whole / floor, "x", 1.3, True, ROUNDS, floor, whole / floor).emit()
    Figure("gpu_chunk_speedup", naive / whole, "x", 1.0, False, ROUNDS, naive, whole / naive).emit()
    print(
        f"{torch.cuda.get_device_name()}: chunk {whole:.1f} ms, prefill {prefill:.1f} ms, floor {floor:.1f} ms, "
        f"generate() {naive:.1f} ms"
    )


if __name__ == "__main__":
    main()
