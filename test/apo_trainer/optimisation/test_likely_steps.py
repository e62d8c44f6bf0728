"""Undesirable steps that the reference could have taken."""

import pytest
import torch
from small_policy import teacher_forced

from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_frames
from apo_trainer.data.dataset import TrainingData, load_training_data
from apo_trainer.data.samples import SampleClass
from apo_trainer.evaluation.reference import Reference, ReferenceLogps
from apo_trainer.evaluation.reference_cache import ReferenceCache
from apo_trainer.optimisation.likely_steps import token_logps, with_likely
from apo_vla.lora.adapter import LoraSettings, attach_lora, lora_parameters
from apo_vla.policy import VlaPolicy


@pytest.fixture
def data(interactions, contract) -> TrainingData:
    return load_training_data(sorted(interactions.glob("*.h5"))[:2], LabelRule(3), 2, 0.0, contract.sha256)


def undesirable(data):
    return [sample for sample in data.train if sample.sample_class is SampleClass.UNDESIRABLE]


LOGPS = [-1.0, -5.0, -2.0, -2.0, -9.0, -3.0]


def test_unlikely_ones_are_left_out_and_the_rest_stays_in_order(data):
    left, note = with_likely(data, LOGPS, -2.5, 0)
    assert undesirable(left) == [undesirable(data)[i] for i in (0, 2, 3)]
    assert [s for s in left.train if s.desirable] == [s for s in data.train if s.desirable]
    assert left.held_out == data.held_out
    assert note == "3 of 6 undesirable steps have -2.5 nats a token or more (undesirable_min_logp)"


def test_the_most_likely_stay(data):
    left, note = with_likely(data, LOGPS, -0.5, 2)
    assert undesirable(left) == [undesirable(data)[i] for i in (0, 2)]
    assert note.endswith("; the 2 most likely are used (undesirable_keep_at_least = 2)")
    assert len(undesirable(with_likely(data, LOGPS, -0.5, 100)[0])) == 6
    assert undesirable(with_likely(data, LOGPS, -0.5, 0)[0]) == []


def test_a_value_is_the_references_mean_over_the_tokens_that_count(tiny_model, data, tmp_path):
    policy = VlaPolicy(*tiny_model)
    attach_lora(policy.model, LoraSettings(rank=2, alpha=4.0))
    reference = Reference(policy, lora_parameters(policy.model))
    samples = undesirable(data)
    cache = ReferenceCache(tmp_path, "ref")
    values = token_logps(policy, samples, ReferenceLogps(policy, reference, cache))
    assert len(cache) == len(samples)  # a later run need not compute them
    for parameter in lora_parameters(policy.model).values():
        parameter.data.add_(0.5)  # training changes nothing of it
    assert token_logps(policy, samples, ReferenceLogps(policy, reference, ReferenceCache())) == values
    sample = samples[2]  # the last before the takeover: one row of two
    frames = read_frames(sample.episode.path, [sample.step])
    observation = sample.observation({name: images[0] for name, images in frames.items()})
    batch = policy.prepare([observation.images], [observation.state], observation.instruction)
    tokens = torch.from_numpy(policy.codec.encode(sample.chunk(2)[0])).reshape(1, -1)
    with reference.active(), torch.no_grad():
        wanted = teacher_forced(policy, batch, tokens)[0, :7].mean().item()
    assert values[2] == pytest.approx(wanted, abs=1e-4)
