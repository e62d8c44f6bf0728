"""Greedy action tokens by the policy's decoder beside transformers' generate(): same weights, same prefix, same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from figure import Figure
from transformers import LlamaConfig, LlamaForCausalLM

from apo_vla.decoding.static import StaticDecoder

VOCABULARY, ACTIONS, LENGTH, STEPS = 32064, 256, 250, 7  # OpenVLA's, with a prompt and one camera of 224 pixels
ROUNDS = 60


def causal_model() -> LlamaForCausalLM:
    """A tiny language model; only the rows of the last ACTIONS tokens score, so that both choose among the same."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.mul_(3.0)
        model.lm_head.weight[:-ACTIONS] = 0.0
    return model


def generator(model: LlamaForCausalLM) -> Callable[[torch.Tensor], torch.Tensor]:
    """transformers' greedy generation, tokens as 0..ACTIONS-1."""
    mask = torch.ones(1, LENGTH, dtype=torch.int64)
    options = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False}

    def run(prefix: torch.Tensor) -> torch.Tensor:
        ids = model.generate(inputs_embeds=prefix, attention_mask=mask, **options)
        return ids - (VOCABULARY - ACTIONS)

    return run


def decoder(model: LlamaForCausalLM) -> Callable[[torch.Tensor], torch.Tensor]:
    """The policy's decoding."""
    decoder = StaticDecoder(model.model)
    embedding, head = model.model.embed_tokens.weight[-ACTIONS:], model.lm_head.weight[-ACTIONS:]

    def run(prefix: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return decoder.generate(prefix, embedding, head, STEPS).tokens

    return run


def main() -> None:
    torch.set_num_threads(1)
    model = causal_model()
    ways = {"generate": generator(model), "decoder": decoder(model)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    distinct = set()
    for turn in range(ROUNDS + 3):
        prefix = torch.randn(1, LENGTH, 192, generator=torch.Generator().manual_seed(turn))
        tokens = {}
        for name, run in ways.items():
            begin = time.perf_counter()
            tokens[name] = run(prefix).tolist()
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - begin))
        if tokens["generate"] != tokens["decoder"]:
            raise SystemExit(f"prefix {turn}: generate() returns {tokens['generate']}, the decoder {tokens['decoder']}")
        distinct.update(tokens["decoder"][0])
    slow, fast = (statistics.median(times[name]) for name in ("generate", "decoder"))
    Figure("decode_speedup", slow / fast, "x", 2.0, False, ROUNDS, slow, fast / slow).emit()
    print(
        f"generate {slow:.1f} ms, decoder {fast:.1f} ms; the same tokens {ROUNDS + 3} times, {len(distinct)} distinct"
    )


if __name__ == "__main__":
    main()
