"""An optimizer step of the trainer beside a naive one (train_step/naive_step.py): time, peak memory, and the same loss.

Both start from the same weights and take the same batches through the same number of steps; the benchmark fails where
their losses differ. The trainer's features and reference log-probabilities are cached, as they are after an epoch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from figure import Figure
from train_step.naive_step import NaiveBatch, NaiveStep
from train_step.train_step_setup import data, policy

from apo_core.types import Observation
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_frames
from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batcher
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.mismatched import MismatchedActions
from apo_trainer.data.samples import Sample
from apo_trainer.optimisation.learning_rates import learning_rate
from apo_trainer.optimisation.trainer import Trainer
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.lora.adapter import lora_parameters
from apo_vla.lora.shape import LoraShape
from apo_vla.policy import Prepared

GOALS = {32064: 6.0, 1024: 2.0}  # vocabulary: how many times faster
TOLERANCE = 1e-4  # of the loss
BATCH = 8
WARM_UP = 6  # steps, after which nearly everything that is kept is there
MEASURED = 6
CONFIG = TrainingConfig(
    method="apo",
    prefix_noise=0.0,
    prefix_jitter=0.0,
    likelihood=LikelihoodSettings(action_tolerance=0.0),
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


class Both:
    """The trainer and the naive step on the same data and from the same weights."""

    def __init__(self, vocabulary: int, folder: Path):
        samples = data(folder, CONFIG)
        self.trainer = Trainer(policy(vocabulary), samples, CONFIG)
        other = policy(vocabulary)
        twin = Trainer(other, samples, CONFIG)  # attaches the same adapter
        self.naive = NaiveStep(other, lora_parameters(other.model), CONFIG)
        self._sampler, self._samples, self._policy = twin.method.sampler, samples.train, other
        self._mismatched = MismatchedActions(self._sampler, samples.train, CONFIG.steps, CONFIG.seed)
        self._batcher = Batcher(other, samples.train, FeatureSettings(CONFIG.seed))

    def batch(self, step: int) -> NaiveBatch:
        """What the naive step gets; images are ready in memory."""
        draws = self._sampler.batch(step)
        observations = [observation(self._samples[draw.index]) for draw in draws]
        parts = [self._policy.prepare([o.images], [o.state], o.instruction) for o in observations]
        return NaiveBatch(
            Prepared(*(torch.cat(tensors) for tensors in zip(*parts, strict=True))),
            self._batcher.batch(draws, *self._mismatched.pairs(draws, CONFIG.kl_pairs)),
        )


def observation(sample: Sample) -> Observation:
    """What the policy saw, with its images."""
    frames = read_frames(sample.episode.path, [sample.step])
    return sample.observation({name: images[0] for name, images in frames.items()})


def measure(vocabulary: int) -> None:
    """Step times in turn, and that the losses agree."""
    times: dict[str, list[float]] = {"trainer": [], "naive": []}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        both = Both(vocabulary, Path(folder))
        steps = both.trainer.steps()
        for step in range(CONFIG.steps):
            batch = both.batch(step)
            began = time.perf_counter()
            loss = both.naive.step(learning_rate(step, CONFIG, CONFIG.steps), batch)
            between = time.perf_counter()
            metrics = next(steps)
            ended = time.perf_counter()
            worst = max(worst, abs(loss - metrics.loss))
            if not worst < TOLERANCE:
                raise SystemExit(f"vocabulary {vocabulary}, step {step}: naive loss {loss}, trainer's {metrics.loss}")
            if step >= WARM_UP:
                times["naive"].append(between - began)
                times["trainer"].append(ended - between)
    trainer, naive = (statistics.median(times[name]) * 1e3 for name in ("trainer", "naive"))
    print(
        f"vocabulary {vocabulary}: trainer {trainer:.0f} ms, naive {naive:.0f} ms a step; losses differ by {worst:.1e}"
    )
    ratio = naive / trainer
    Figure(f"train_step_{vocabulary}_speedup", ratio, "x", GOALS[vocabulary], False, MEASURED, naive, ratio).emit()


def peak_mb(which: str, vocabulary: int) -> float:
    """Growth of this process's memory at its peak over a few steps of one of the two."""
    with tempfile.TemporaryDirectory() as folder:
        both = Both(vocabulary, Path(folder))
        batches, steps = [both.batch(step) for step in range(3)], both.trainer.steps()
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        before = _memory("VmRSS")
        for step, batch in enumerate(batches):
            if which == "naive":
                both.naive.step(learning_rate(step, CONFIG, CONFIG.steps), batch)
            else:
                next(steps)
        return (_memory("VmHWM") - before) / 1024


def _memory(name: str) -> int:
    """kB, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def compare_memory(vocabulary: int) -> None:
    """Peaks, each measured in a process of its own."""
    peaks = []
    for which in ("trainer", "naive"):
        command = [sys.executable, __file__, "--peak", which, str(vocabulary)]
        peaks.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    name = f"train_step_{vocabulary}_peak_memory_ratio"
    Figure(name, peaks[0] / peaks[1], "", 1.0, True, 1, peaks[1], peaks[0] / peaks[1]).emit()
    print(f"vocabulary {vocabulary}: peak memory of a step {peaks[0]:.0f} MB, naive {peaks[1]:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peak", nargs=2, metavar=("WHICH", "VOCABULARY"), help="only this peak, as a JSON number")
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak_mb(arguments.peak[0], int(arguments.peak[1])))
        return
    for vocabulary in GOALS:
        measure(vocabulary)
        compare_memory(vocabulary)


if __name__ == "__main__":
    main()
