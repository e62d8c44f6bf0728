"""Training data with chosen classes and actions, without files."""

import numpy as np
import pytest

from apo_core.types import EpisodeKind
from apo_trainer.data.dataset import EpisodeData, Sample, SampleClass, TrainingData

CLASSES = {
    "E": SampleClass.EXPERT,
    "P": SampleClass.POLICY,
    "H": SampleClass.HUMAN,
    "U": SampleClass.UNDESIRABLE,
    "-": None,
}


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
