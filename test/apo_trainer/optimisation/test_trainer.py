"""The training loop, on a tiny random policy and on recorded episodes with the shipped one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from apo_core.config.parameters import build
from apo_core.errors import AdapterError
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import list_episodes
from apo_trainer.config import TrainingConfig
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.samples import SampleClass, TrainingDataError
from apo_trainer.optimisation.learning_rates import learning_rate
from apo_trainer.optimisation.trainer import Trainer
from apo_vla.policy import VlaPolicy

ROOT = Path(__file__).parents[3]
E, P, H, U = SampleClass.EXPERT, SampleClass.POLICY, SampleClass.HUMAN, SampleClass.UNDESIRABLE


def plain(**changes):
    """Parameters of a training without noise and tolerance."""
    values = {"steps": 20, "batch_size": 8, "learning_rate": 0.01, "warmup_steps": 0, "undesirable_steps": 3}
    rest = {"method": "apo", "prefix_noise": 0.0, "prefix_jitter": 0.0, "action_tolerance": 0.0, "lora_rank": 8}
    return {**values, **rest, "lora_alpha": 16.0, **changes}


def run(trainer):
    return list(trainer.steps())


def equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_at_first_policy_and_reference_agree(trainer_of):
    first = next(iter(trainer_of(**plain()).steps()))
    assert first.step == 1
    assert first.z0 == 0.0
    assert first.log_ratio == {"EXPERT": None, "POLICY": None, "HUMAN": 0.0, "UNDESIRABLE": 0.0}
    # both sigmoids are one half
    assert first.loss == pytest.approx(0.25 * (first.weight["HUMAN"] + first.weight["UNDESIRABLE"]), rel=1e-4)


@pytest.mark.parametrize("method", ["apo", "kto"])
def test_training_raises_the_desirable_against_the_undesirable(trainer_of, method):
    last = run(trainer_of(**plain(method=method)))[-1]
    assert last.log_ratio["HUMAN"] > 0 > last.log_ratio["UNDESIRABLE"]


def test_dagger_raises_the_human_actions_and_draws_no_undesirable_ones(trainer_of):
    trainer = trainer_of(**plain(method="dagger"))
    metrics = run(trainer)
    assert trainer.method.sampler.counts == {"EXPERT+HUMAN": 8}
    assert metrics[-1].loss < metrics[0].loss
    assert trainer.held_out().means[H].log_ratio > 0


def test_kto_weights_are_one_and_apo_weights_are_not(trainer_of):
    assert next(iter(trainer_of(**plain(method="kto")).steps())).weight["HUMAN"] == 1.0
    assert 0 < next(iter(trainer_of(**plain(method="apo")).steps())).weight["HUMAN"] < 1.0


def test_only_the_adapter_changes(trainer_of):
    trainer = trainer_of(**plain())
    before = {name: value.clone() for name, value in trainer.policy.model.named_parameters()}
    run(trainer)
    changed = {name for name, value in trainer.policy.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_the_parent_adapter_is_start_and_reference(trainer_of):
    parent = trainer_of(**plain())
    run(parent)
    child = trainer_of(parent=parent.adapter(), **plain(seed=1, reference="start"))
    assert equal(child.adapter(), parent.adapter())
    first = next(iter(child.steps()))
    assert first.log_ratio["HUMAN"] == 0.0
    assert not equal(child.adapter(), parent.adapter())
    # the held-out comparison is with the parent, not with the base policy
    assert abs(trainer_of(parent=parent.adapter(), **plain(reference="start")).held_out().means[H].log_ratio) == 0.0


def test_log_ratios_to_the_base_policy_go_on_from_the_parent(trainer_of):
    parent = trainer_of(**plain())
    run(parent)
    ratio = parent.held_out().means[H].log_ratio
    assert ratio > 0.0
    child = trainer_of(parent=parent.adapter(), **plain(reference="base"))
    assert equal(child.adapter(), parent.adapter())
    assert child.reference_sha256 == parent.reference_sha256
    assert child.held_out().means[H].log_ratio == pytest.approx(ratio, abs=1e-5)
    first = next(iter(child.steps()))
    assert first.log_ratio["HUMAN"] > 0.0
    assert not equal(child.adapter(), parent.adapter())


def test_an_adapter_is_judged_against_the_one_that_serves_too(trainer_of):
    serving = trainer_of(**plain(seed=1))
    run(serving)
    trainer = trainer_of(**plain())
    assert "held_out_serving_l1" not in trainer.evaluate().values
    trainer.compare_with(serving.adapter())
    assert trainer.held_out().means[H].log_ratio == 0.0  # neither the adapter nor its reference has changed
    run(trainer)
    values, own = trainer.evaluate().values, serving.evaluate().values
    assert values["held_out_serving_l1"] == pytest.approx(own["held_out_l1"], abs=1e-6)
    gain = values["held_out_desirable_log_ratio"] - own["held_out_desirable_log_ratio"]
    assert values["serving_desirable_log_ratio"] == pytest.approx(gain, abs=1e-4)
    # the same adapter is no worse than itself
    again = trainer_of(parent=serving.adapter(), **plain())
    again.compare_with(serving.adapter())
    assert again.evaluate().values["serving_desirable_log_ratio"] == 0.0


def test_an_adapter_of_another_rank_cannot_be_compared_with(trainer_of):
    trainer = trainer_of(**plain())
    before = trainer.adapter()
    with pytest.raises(AdapterError, match="shape"):
        trainer.compare_with(trainer_of(**plain(lora_rank=4)).adapter())
    trainer.leave_uncompared("adapter 3 serves and was not compared with: shape")
    assert "adapter 3 serves and was not compared with: shape" in trainer.evaluate().notes
    assert equal(before, trainer.adapter())


def test_the_number_of_steps_follows_from_the_data(trainer_of):
    # five episodes of three human and three undesirable steps, eight rows a batch: 4 * 30 / 8
    settings = plain(steps=0, passes=4.0, min_steps=3, learning_rate=0.002)
    trainer = trainer_of(**settings)
    assert trainer.planned_steps == 15
    metrics = run(trainer)
    assert len(metrics) == 15
    assert metrics[-1].learning_rate == learning_rate(14, build(TrainingConfig, settings, "test"), 15)
    fixed = trainer_of(**plain(steps=15, learning_rate=0.002))
    assert [m.loss for m in run(fixed)] == [m.loss for m in metrics]


def test_only_undesirable_steps_likely_under_the_reference_are_used(trainer_of):
    # a random policy: no step is likely
    trainer = trainer_of(**plain(undesirable_of="likely", undesirable_min_logp=-1.0, undesirable_keep_at_least=4))
    assert trainer.data.report().train_samples["UNDESIRABLE"] == 4
    assert trainer.notes[:2] == [
        "0 of 15 undesirable steps have -1 nats a token or more (undesirable_min_logp); the 4 most likely are used "
        "(undesirable_keep_at_least = 4)",
        "undesirable steps by adapter: {0: 4}",
    ]
    assert len(run(trainer)) == 20
    all_of_them = trainer_of(**plain(undesirable_of="likely", undesirable_min_logp=-100.0))
    assert all_of_them.data.report().train_samples["UNDESIRABLE"] == 15


def test_step_reports_the_share_of_edge_tokens(trainer_of):
    first = next(iter(trainer_of(**plain()).steps()))
    assert first.edge_share["EXPERT"] is None
    assert 0.0 <= first.edge_share["HUMAN"] <= 1.0
    assert first.as_dict()["edge_share"] == first.edge_share


def test_own_successes_are_measured_apart(tiny_model, write_episode, contract):
    paths = [write_episode(f"e{i}", "PPPPPHHH") for i in range(4)]
    paths += [write_episode(f"alone{i}", "PPPP") for i in range(4)]
    data = load_training_data(paths, LabelRule(undesirable_steps=3), 2, 0.5, contract.sha256)
    alone = sum(sample.episode.is_own_success for sample in data.held_out)
    trainer = Trainer(VlaPolicy(*tiny_model), data, build(TrainingConfig, plain(), "test"))
    run(trainer)
    found = trainer.held_out()
    assert 0 < found.own_success.samples == alone < found.means[P].samples
    verdict = trainer.evaluate()
    assert verdict.values["held_out_own_success_samples"] == alone
    assert verdict.values["held_out_own_success_log_ratio"] == pytest.approx(found.own_success.log_ratio)


def test_evaluating_leaves_the_adapter_as_it_is(trainer_of):
    trainer = trainer_of(**plain())
    run(trainer)
    before = trainer.adapter()
    trainer.evaluate()
    assert equal(before, trainer.adapter())


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(trainer_of):
    tensors = []
    for seed in (0, 0, 1):
        trainer = trainer_of(**plain(seed=seed))
        run(trainer)
        tensors.append(trainer.adapter())
    assert equal(tensors[0], tensors[1])
    assert not equal(tensors[0], tensors[2])


def test_augmented_views_are_seeded_and_change_the_training(trainer_of):
    tensors = []
    for views in (4, 4, 1):
        trainer = trainer_of(**plain(views=views))
        run(trainer)
        tensors.append(trainer.adapter())
    assert equal(tensors[0], tensors[1])
    assert not equal(tensors[0], tensors[2])


def test_a_loss_that_is_not_finite_ends_the_run(trainer_of):
    parent = {name: np.full_like(value, 1e30) for name, value in trainer_of(**plain()).adapter().items()}
    with pytest.raises(FloatingPointError, match=r"step 1: loss = nan.*config/trainer\.yaml"):
        run(trainer_of(parent=parent, **plain()))


def test_a_parent_of_another_rank_is_rejected(trainer_of):
    parent = trainer_of(**plain(lora_rank=4)).adapter()
    with pytest.raises(AdapterError, match="shape"):
        trainer_of(parent=parent, **plain())


def test_a_runaway_stops_early_with_the_reason(trainer_of):
    trainer = trainer_of(**plain(steps=200, guard_undesirable_nats=-1.0, guard_window=5))
    metrics = run(trainer)
    assert 5 <= len(metrics) < 200
    assert "below guard_undesirable_nats = -1 (config/trainer.yaml)" in trainer.stop_reason


def test_the_gate_judges_held_out_samples_only(trainer_of):
    trainer = trainer_of(**plain())
    run(trainer)
    means = trainer.held_out().means
    # three of the eight episodes are kept out: of each two desirable policy steps, three undesirable, three human
    assert {str(name): part.samples for name, part in means.items()} == {"POLICY": 6, "UNDESIRABLE": 9, "HUMAN": 9}
    verdict = trainer.evaluate()
    assert verdict.accepted
    assert verdict.values["held_out_undesirable_log_ratio"] < verdict.values["held_out_desirable_log_ratio"]


def test_at_most_the_configured_number_of_held_out_samples_is_used(trainer_of):
    means = trainer_of(**plain(held_out_samples=2)).held_out().means
    assert {part.samples for part in means.values()} == {2}


def test_without_takeovers_there_is_nothing_to_train_on(tiny_model, write_episode, contract):
    path = write_episode("quiet", "PPPPPP")
    data = load_training_data([path], LabelRule(), 2, 0.0, contract.sha256)
    with pytest.raises(TrainingDataError, match="6 POLICY, 0 HUMAN, 0 UNDESIRABLE"):
        Trainer(VlaPolicy(*tiny_model), data, build(TrainingConfig, plain(), "test"))


def test_a_batch_of_one_trains(trainer_of):
    assert len(run(trainer_of(**plain(batch_size=1, steps=3)))) == 3


@pytest.fixture(scope="module")
def recorded():
    """Trains with the shipped policy on recorded takeovers, one episode of four held out; gives trainer and metrics."""
    torch.set_num_threads(1)
    policy = VlaPolicy.load(ROOT / "models" / "lift_base", lora=None)
    # three episodes are too few to make the undesirable steps of another one less likely
    settings = build(TrainingConfig, plain(learning_rate=3e-4, undesirable_steps=10, gate_fall_nats=-2.0), "test")
    paths = list_episodes(ROOT / "test" / "data" / "takeovers")
    data = load_training_data(paths, settings.label_rule, policy.chunk, 0.1, policy.contract_sha256)
    assert data.rejected == ()
    assert data.held_out_ids == ("lift-10007",)
    trainer = Trainer(policy, data, settings)
    return trainer, list(trainer.steps())


def test_recorded_takeovers_teach_the_shipped_policy_what_the_operator_did(recorded):
    _, metrics = recorded
    assert metrics[-1].log_ratio["HUMAN"] > 1.0
    assert metrics[-1].log_ratio["UNDESIRABLE"] < -1.0


def test_on_held_out_takeovers_the_desirable_rises_against_the_undesirable(recorded):
    trainer, _ = recorded
    means = trainer.held_out().means
    assert means[H].samples > 5
    assert means[U].samples > 5
    assert means[H].log_ratio > means[U].log_ratio + 0.5


def test_the_gate_accepts_what_recorded_takeovers_taught(recorded):
    trainer, _ = recorded
    verdict = trainer.evaluate()
    assert verdict.accepted, verdict.reasons
