"""What a policy emitted is what it is trained on: from its chunks through an episode file into a batch."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from apo_core.types import (
    ActionChunk,
    ControlSource,
    EpisodeInfo,
    EpisodeKind,
    EpisodeOutcome,
    Observation,
    Outcome,
    Step,
)
from apo_episodes.labeling import LabelRule
from apo_episodes.writer import EpisodeWriter
from apo_trainer.config import TrainingConfig
from apo_trainer.data.batches import Batcher
from apo_trainer.data.dataset import TrainingData, load_training_data
from apo_trainer.data.features import FeatureSettings
from apo_trainer.data.sampler import ActionOf, Draw
from apo_trainer.data.samples import SampleClass
from apo_trainer.evaluation.forward import ForwardPass
from apo_trainer.evaluation.reference import Reference, ReferenceLogps
from apo_trainer.evaluation.reference_cache import ReferenceCache
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.lora.adapter import LoraSettings, lora_parameters
from apo_vla.policy import VlaPolicy
from apo_vla.serving.policy import ServingPolicy

TIED = (254, 255)
SOURCES = "P" * 16 + "H" * 4
LORA = LoraSettings(rank=2)
RULE = LabelRule(undesirable_steps=4)
H = SampleClass.HUMAN


@pytest.fixture
def policy(tiny_model) -> VlaPolicy:
    """One that emits both tokens of a saturated action: after either the other one is likelier."""
    model, tokenizer, statistics = tiny_model
    noise = torch.randn(16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for bin_, sign in zip(TIED, (1, -1), strict=True):
            model.action_head.weight[bin_] = sign * 0.2 * noise
            model.language_model.embed_tokens.weight[model.config.prompt_vocabulary + bin_] = -sign * noise
    return VlaPolicy(model, tokenizer, statistics, lora=LORA)


@pytest.fixture
def chunks(policy, contract) -> list[ActionChunk]:
    """Chunks of the serving policy at every second step."""
    serving = ServingPolicy(VlaPolicy(copy.deepcopy(policy.model), policy.tokenizer, policy.statistics))
    return [serving.predict(observation(step, contract)) for step in range(0, len(SOURCES), 2)]


def observation(step: int, contract) -> Observation:
    image = np.random.default_rng(step).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    state = {"ee_pose": np.full(7, step, np.float32)}
    return Observation(1 + step * contract.period_ns, {"front": image}, state, "lift the cube")


@pytest.fixture
def record(chunks, contract, tmp_path):
    """Writes the episode of these chunks, and returns what training reads of it; `tokens` is of each step's tokens."""

    def write(tokens=lambda step, emitted: emitted) -> TrainingData:
        info = EpisodeInfo("e", EpisodeKind.INTERACTION, "Lift", "lift the cube", 0, "test", contract.json, "now", {})
        folder = tmp_path / f"episodes{len(list(tmp_path.glob('episodes*')))}"
        writer = EpisodeWriter(folder, info, contract)
        for step, letter in enumerate(SOURCES):
            chunk, row = chunks[step // 2], step % 2
            human = np.full(7, 0.3, np.float32) if letter == "H" else None
            writer.append(
                Step(
                    tick=step,
                    observation=observation(step, contract),
                    executed_action=chunk.values[row] if human is None else human,
                    policy_action=chunk.values[row],
                    human_action=human,
                    source=ControlSource.POLICY if human is None else ControlSource.HUMAN,
                    reason="test",
                    adapter_version=0,
                    command_stamp_ns=2 + step * contract.period_ns,
                    chunk_stamp_ns=chunk.observation_stamp_ns,
                    receive_ns=step,
                    policy_tokens=tokens(step, chunk.tokens.reshape(2, 7)[row].astype(np.int32)),
                )
            )
        path = writer.finish(EpisodeOutcome(Outcome.SUCCESS, "test", True, False))
        return load_training_data([path], RULE, 2, 0.0, contract.sha256)

    return write


def emitted_at(chunks, step: int) -> np.ndarray:
    return chunks[step // 2].tokens.reshape(2, 7)[step % 2]


def draws_of(data: TrainingData) -> list[Draw]:
    """Every policy step, and beside every operator's step what the policy would have done."""
    return [Draw(i, 0, ActionOf.SHADOW if s.sample_class is H else ActionOf.RECORDED) for i, s in enumerate(data.train)]


def batch_of(policy, data: TrainingData):
    return Batcher(policy, data.train, FeatureSettings(seed=0)).batch(draws_of(data))


def test_a_batch_holds_the_very_tokens_that_were_emitted(policy, chunks, record):
    data = record()
    batch = batch_of(policy, data)
    assert [name for name in batch.classes if name == "UNDESIRABLE"] == ["UNDESIRABLE"] * 8  # four of them shadows
    emitted = np.concatenate([chunk.tokens for chunk in chunks])
    assert set(TIED) <= set(emitted.tolist())
    for row, sample in enumerate(data.train):
        for offset, found in enumerate(batch.targets.outputs[row].view(2, 7).numpy()):
            if batch.targets.mask[row].view(2, 7)[offset].all():
                assert found.tolist() == emitted_at(chunks, sample.step + offset).tolist()
    assert data.report(policy.codec).policy_tokens == {"recorded": 16, "encoded": 0, "disagreeing": 0}
    assert data.report().policy_tokens is None


def test_without_recorded_tokens_a_batch_holds_tokens_of_the_same_actions(policy, record):
    with_tokens, without = batch_of(policy, record()), batch_of(policy, data := record(lambda step, emitted: None))
    assert data.train[0].episode.policy_tokens is None
    assert not torch.equal(with_tokens.targets.outputs, without.targets.outputs)
    dimensions = torch.arange(14) % 7
    classes = torch.from_numpy(policy.codec.classes.copy())
    assert torch.equal(classes[dimensions, with_tokens.targets.outputs], classes[dimensions, without.targets.outputs])
    assert torch.equal(with_tokens.targets.actions, without.targets.actions)
    assert data.report(policy.codec).policy_tokens == {"recorded": 0, "encoded": 16, "disagreeing": 0}


def test_training_reference_and_serving_agree_on_what_the_policy_emitted(policy, chunks, record):
    data = record()
    batch = batch_of(policy, data)
    parameters, config = (
        lora_parameters(policy.model),
        TrainingConfig(method="kto", likelihood=LikelihoodSettings(action_tolerance=0.0)),
    )
    reference = ReferenceLogps(policy, Reference(policy, parameters), ReferenceCache())
    trained, referred = ForwardPass(policy, config)(batch).logps.detach(), reference.of(batch)[0]
    torch.testing.assert_close(trained, referred, atol=1e-4, rtol=0)
    compared = 0
    for row, sample in enumerate(data.train):
        if sample.step % 2 == 0 and batch.targets.mask[row].all():
            served = float(chunks[sample.step // 2].log_probs.sum())
            assert trained[row].item() == pytest.approx(served, abs=1e-3)
            compared += 1
    assert compared == 10


def test_unknown_or_disagreeing_tokens_are_made_from_the_action(policy, chunks, record):
    def tokens(step, emitted):
        return None if step == 3 else np.where(emitted > 100, emitted - 100, emitted + 100) if step == 5 else emitted

    data = record(tokens)
    batch = batch_of(policy, data)
    assert data.report(policy.codec).policy_tokens == {"recorded": 14, "encoded": 2, "disagreeing": 1}
    for step in (3, 5):
        wanted = policy.codec.encode(chunks[step // 2].values[step % 2])
        assert batch.targets.outputs[step].view(2, 7)[0].tolist() == wanted.tolist()
    assert batch.targets.outputs[4].view(2, 7)[0].tolist() == emitted_at(chunks, 4).tolist()


def test_tokens_of_a_policy_of_other_statistics_are_made_from_the_action(policy, chunks, record, tiny_model):
    data = record()
    model, tokenizer, statistics = tiny_model
    wider = dataclasses.replace(statistics, action_q01=(-2.0,) * 7, action_q99=(2.0,) * 7, action_mask=(True,) * 7)
    other = VlaPolicy(model, tokenizer, wider)
    batch = batch_of(other, data)
    assert data.report(other.codec).policy_tokens == {"recorded": 0, "encoded": 16, "disagreeing": 16}
    assert batch.targets.outputs[0].view(2, 7).tolist() == other.codec.encode(chunks[0].values).tolist()


def test_the_operators_steps_never_have_the_policys_tokens(policy, record):
    data = record()
    human = [i for i, sample in enumerate(data.train) if sample.sample_class is H]
    batch = Batcher(policy, data.train, FeatureSettings(seed=0)).batch([Draw(i, 0) for i in human])
    wanted = policy.codec.encode(np.full((2, 7), 0.3, np.float32)).ravel().tolist()
    assert batch.targets.outputs.tolist() == [wanted] * 4


def test_the_actions_of_other_samples_have_their_emitted_tokens_too(policy, chunks, record):
    data = record()
    batch = Batcher(policy, data.train, FeatureSettings(seed=0)).batch([Draw(0, 0)], [0], [Draw(2, 0)])
    assert batch.others.targets.outputs[0].tolist() == chunks[1].tokens.tolist()
