"""A flow head: sampling beside a loop that computes the prefix in every step, pictures included, and training beside a
naive step.

Both pairs compute the same: the benchmark fails where actions or losses differ.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from bench_train_step import NaiveBatch, observation
from figure import Figure
from train_step.naive_flow import NaiveFlowStep
from train_step.train_step_setup import data, flow_policy

from apo_episodes.labeling import LabelRule
from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batcher
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.mismatched import MismatchedActions
from apo_trainer.optimisation.learning_rates import learning_rate
from apo_trainer.optimisation.trainer import Trainer
from apo_vla.likelihood.flow import sample
from apo_vla.lora.adapter import lora_parameters
from apo_vla.lora.shape import LoraShape
from apo_vla.policy import Prepared

ROWS, BATCH = 4, 8
SAMPLES, WARM_UP, MEASURED = 20, 6, 6
TOLERANCE = 1e-4
CONFIG = TrainingConfig(
    method="apo",
    prefix_noise=0.0,
    prefix_jitter=0.0,
    lora=LoraShape(lora_rank=8, lora_alpha=16.0),
    batch_size=BATCH,
    kl_pairs=BATCH // 2,
    steps=WARM_UP + MEASURED,
    optimizer="adamw",
    learning_rate=1e-3,
    warmup_steps=0,
    label_rule=LabelRule(undesirable_steps=3),
    held_out_share=0.0,
)


def sampling() -> None:
    """A chunk from the pictures of an observation."""
    policy = flow_policy(ROWS)
    model, shape = policy.model, policy.config
    generator = torch.Generator().manual_seed(0)
    times: dict[str, list[float]] = {"cached": [], "naive": []}
    with torch.inference_mode():
        images = torch.randn(1, 1, 3, 256, 256, generator=generator)
        state = torch.zeros(1, shape.state_size)
        prompt = torch.zeros(1, 16, dtype=torch.int64)
        noise = torch.randn(1, ROWS, shape.action_size, generator=generator)
        for turn in range(SAMPLES + 2):
            began = time.perf_counter()
            cache = model.prefix_cache(model.features(images, state), prompt)
            cached = sample(model, cache, noise, shape.flow_steps)
            between = time.perf_counter()
            naive = noise
            for step in range(shape.flow_steps):
                at = noise.new_full((1, 1), 1.0 - step / shape.flow_steps)
                cache = model.prefix_cache(model.features(images, state), prompt)
                velocity = model.velocity(cache, naive[:, None], at)[:, 0]
                naive = naive - velocity / shape.flow_steps
            ended = time.perf_counter()
            if not torch.allclose(cached, naive, atol=1e-5):
                raise SystemExit(f"actions differ by {(cached - naive).abs().max()}")
            if turn >= 2:
                times["cached"].append(between - began)
                times["naive"].append(ended - between)
    ours, naive_s = (statistics.median(times[name]) * 1e3 for name in ("cached", "naive"))
    print(f"a chunk: {ours:.1f} ms with the prefix computed once, {naive_s:.1f} ms with a prefix for each step")
    Figure("flow_sampling_speedup", naive_s / ours, "x", 3.0, False, SAMPLES, naive_s, naive_s / ours).emit()


def training() -> None:
    """Step times in turn, and that the losses agree."""
    times: dict[str, list[float]] = {"trainer": [], "naive": []}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        samples = data(Path(folder), CONFIG, ROWS)
        trainer, other = Trainer(flow_policy(ROWS), samples, CONFIG), flow_policy(ROWS)
        twin = Trainer(other, samples, CONFIG)  # attaches the same adapter
        naive = NaiveFlowStep(other, lora_parameters(other.model), CONFIG)
        sampler = twin.method.sampler
        mismatched = MismatchedActions(sampler, samples.train, CONFIG.steps, CONFIG.seed)
        batcher = Batcher(other, samples.train, FeatureSettings(CONFIG.seed))
        steps = trainer.steps()
        for step in range(CONFIG.steps):
            draws = sampler.batch(step)
            seen = [observation(samples.train[draw.index]) for draw in draws]
            parts = [other.prepare([o.images], [o.state], o.instruction) for o in seen]
            inputs = Prepared(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
            batch = NaiveBatch(inputs, batcher.batch(draws, *mismatched.pairs(draws, CONFIG.kl_pairs)))
            began = time.perf_counter()
            loss = naive.step(learning_rate(step, CONFIG, CONFIG.steps), batch)
            between = time.perf_counter()
            metrics = next(steps)
            ended = time.perf_counter()
            worst = max(worst, abs(loss - metrics.loss))
            if not worst < TOLERANCE:
                raise SystemExit(f"step {step}: naive loss {loss}, trainer's {metrics.loss}")
            if step >= WARM_UP:
                times["naive"].append(between - began)
                times["trainer"].append(ended - between)
    ours, naive_ms = (statistics.median(times[name]) * 1e3 for name in ("trainer", "naive"))
    print(f"a step: trainer {ours:.0f} ms, naive {naive_ms:.0f} ms; losses differ by {worst:.1e}")
    ratio = naive_ms / ours
    Figure("flow_train_step_speedup", ratio, "x", 2.0, False, MEASURED, naive_ms, ratio).emit()


if __name__ == "__main__":
    sampling()
    training()
