"""The gradient of a batch does not depend on how its rows go through the model."""

import pytest
import torch


def curve(trainer):
    return [(m.loss, m.z0, m.grad_norm) for m in trainer.steps()]


@pytest.mark.parametrize(
    ("method", "size"), [("apo", 1), ("apo", 4), ("apo", 7), ("dagger", 3), ("dpo", 3), ("tpo", 3)]
)
def test_micro_batches_change_nothing(trainer_of, method, size):
    changes = {"method": method, "kl_pairs": 0, "tpo_window": 2, "prefix_noise": 0.3, "action_tolerance": 2.0}
    whole, divided = curve(trainer_of(**changes)), curve(trainer_of(**changes, micro_batch_size=size))
    assert divided == [pytest.approx(row, rel=1e-3, abs=1e-5) for row in whole]


def test_a_micro_batch_of_the_whole_batch_is_the_batch(trainer_of):
    assert curve(trainer_of(micro_batch_size=8)) == curve(trainer_of())


def test_gradient_checkpointing_changes_nothing(trainer_of):
    assert curve(trainer_of(gradient_checkpointing=True)) == curve(trainer_of())


def test_dropout_is_the_same_in_both_passes_of_a_micro_batch(trainer_of):
    # with other numbers dropped in the second pass the gradient would be that of another loss
    first, second = (curve(trainer_of(lora_dropout=0.5, micro_batch_size=4)) for _ in range(2))
    assert first == second
    assert first != curve(trainer_of(lora_dropout=0.0, micro_batch_size=4))


def test_dropout_does_not_depend_on_what_was_drawn_before(trainer_of):
    first = curve(trainer_of(lora_dropout=0.5))
    torch.manual_seed(1234)
    torch.rand(7)
    assert curve(trainer_of(lora_dropout=0.5)) == first


@pytest.mark.parametrize("changes", [{"prefix_noise": 0.3}, {"prefix_jitter": 4.0}, {"action_tolerance": 2.0}])
@pytest.mark.parametrize("method", ["apo", "dagger"])
def test_noise_and_tolerance_are_part_of_the_loss(trainer_of, method, changes):
    plain = {"method": method, "prefix_noise": 0.0, "prefix_jitter": 0.0, "action_tolerance": 0.0}
    assert curve(trainer_of(**{**plain, **changes})) != curve(trainer_of(**plain))


def test_the_same_noise_comes_in_every_training_of_a_seed(trainer_of):
    assert curve(trainer_of(prefix_noise=0.5)) == curve(trainer_of(prefix_noise=0.5))
    assert curve(trainer_of(prefix_noise=0.5, seed=1)) != curve(trainer_of(prefix_noise=0.5))


def test_bfloat16_stays_close_to_float32(trainer_of):
    exact, rough = curve(trainer_of(steps=3)), curve(trainer_of(steps=3, precision="bfloat16"))
    assert [row[0] for row in rough] == pytest.approx([row[0] for row in exact], abs=0.02)
    assert rough != exact
