"""Trainings of a small policy, and training data without files."""

import signal
from pathlib import Path

import numpy as np
import pytest
import small_training
import yaml

from apo_core.types import EpisodeKind
from apo_trainer.data.dataset import TrainingData
from apo_trainer.data.samples import EpisodeData, Sample, SampleClass

contract, contract_of_rate = small_training.contract, small_training.contract_of_rate
write_episode, interactions = small_training.write_episode, small_training.interactions
tiny_model, checkpoint = small_training.tiny_model, small_training.checkpoint

CLASSES = {
    "E": SampleClass.EXPERT,
    "P": SampleClass.POLICY,
    "H": SampleClass.HUMAN,
    "U": SampleClass.UNDESIRABLE,
    "-": None,
}


@pytest.fixture(autouse=True)
def signals_as_before():
    """The training program catches signals, and tests call it in their own process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def arguments(checkpoint, interactions, tmp_path):
    """Arguments of the training program for a short run that the gate lets pass, with any parameter changed.

    The run, its parameter file and the adapter store are in `folder`, and the first two have the name of the run.
    """
    parameters = {
        "checkpoint_dir": str(checkpoint),
        "episode_dir": str(interactions),
        "expert_dir": str(tmp_path / "expert"),
        "steps": 10,
        "batch_size": 8,
        "learning_rate": 0.01,
        "warmup_steps": 0,
        "undesirable_steps": 3,
        "method": "apo",
        "prefix_noise": 0.0,
        "prefix_jitter": 0.0,
        "action_tolerance": 0.0,
        "lora_rank": 8,
        "lora_alpha": 16.0,
        "gate_l1_tolerance": 100.0,
        "gate_rise_nats": -1000.0,
        "gate_fall_nats": -1000.0,
        "gate_min_samples": 0,
        "niceness": 0,
        "threads": 1,
        "progress_s": 0.0,
    }

    def make(run: str = "run", parent: int = 0, folder: Path = tmp_path, **changes) -> list[str]:
        values = {**parameters, "adapter_dir": str(folder / "adapters"), **changes}
        path = folder / f"{run}.yaml"
        path.write_text(yaml.safe_dump({"trainer": {"ros__parameters": values}}))
        return ["--config", str(path), "--run-dir", str(folder / run), "--serving", str(parent), "--run-id", run]

    return make


@pytest.fixture
def parameter():
    """Two values that an optimizer may set."""
    import torch

    return torch.nn.Parameter(torch.tensor([1.0, -2.0]))


@pytest.fixture
def trainer_of(tiny_model, interactions, contract):
    """Makes trainers of the tiny policy on `interactions`, all with the same initial weights."""
    import copy

    from apo_core.config.parameters import build
    from apo_trainer.config import TrainingConfig
    from apo_trainer.data.dataset import load_training_data
    from apo_trainer.optimisation.trainer import Trainer
    from apo_vla.policy import VlaPolicy

    def make(resources=None, parent=None, **changes):
        defaults = {"steps": 8, "batch_size": 8, "learning_rate": 0.01, "warmup_steps": 0, "undesirable_steps": 3}
        defaults |= {"method": "apo", "optimizer": "adamw"}
        settings = build(TrainingConfig, {**defaults, "lora_rank": 8, "lora_alpha": 16.0, **changes}, "test")
        model, tokenizer, statistics = tiny_model
        policy = VlaPolicy(copy.deepcopy(model), tokenizer, statistics, "base", "statistics")
        paths = sorted(interactions.glob("*.h5"))
        data = load_training_data(paths, settings.label_rule, policy.chunk, settings.held_out_share, contract.sha256)
        return Trainer(policy, data, settings, parent, resources)

    return make


@pytest.fixture
def training_data(contract):
    """Makes training data from one text an episode, a letter a step: Expert, Policy, Human, Undesirable, - unused.

    The policy's own action is 0 wherever `shadow`; every recorded action is `action` in all dimensions.
    """

    def make(*episodes: str, shadow: bool = True, action: float = 0.5) -> TrainingData:
        samples = []
        for number, text in enumerate(episodes):
            steps = len(text)
            episode = EpisodeData(
                path=None,
                episode_id=f"e{number}",
                fingerprint=f"{number:016x}",
                kind=EpisodeKind.INTERACTION,
                instruction="lift",
                state={},
                stamps_ns=np.arange(steps),
                targets=np.full((steps, 7), action, np.float32),
                policy_actions=np.full((steps, 7), 0.0 if shadow else np.nan, np.float32),
                classes=tuple(CLASSES[letter] for letter in text),
                adapter_versions=np.zeros(steps, np.uint32),
                rows=np.ones(steps, np.int64),
            )
            samples += [Sample(episode, step, CLASSES[letter]) for step, letter in enumerate(text) if CLASSES[letter]]
        return TrainingData(tuple(samples), (), tuple(f"e{i}" for i in range(len(episodes))), (), (), contract)

    return make


@pytest.fixture
def drawn():
    """Class letters of a batch's draws, in their order."""

    def letters(data, draws) -> str:
        return "".join(data.train[draw.index].sample_class[0] for draw in draws)

    return letters
