"""Imitation with some layers of the adapter, then the method with the others, in one run."""

import itertools

import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_trainer.methods import METHODS

TARGETS = r"image_encoders\.\d+\.project|language_model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"
VISION = r"image_encoders\..*"


def staged(trainer_of, **changes):
    """Three steps of imitation by the projection of the picture, and two of apo by the language model."""
    settings = {"lora_targets": TARGETS, "lora_rank": 2, "steps": 2, "imitation_steps": 3, "batch_size": 8}
    settings |= {"learning_rate": 0.01, "warmup_steps": 0, "method": "apo", "imitation_targets": VISION}
    return trainer_of(**{**settings, **changes})


def moved(before, after):
    return {
        "vision" if "image_encoders" in name else "language" for name in after if (before[name] != after[name]).any()
    }


def test_each_stage_moves_its_own_layers_alone(trainer_of):
    trainer = staged(trainer_of)
    assert trainer.planned_steps == 5
    adapters, losses = [trainer.adapter()], []
    for metrics in trainer.steps():
        adapters.append(trainer.adapter())
        losses.append(metrics.loss)
    assert [moved(a, b) for a, b in itertools.pairwise(adapters)] == [{"vision"}] * 3 + [{"language"}] * 2
    # mean -log pi of 64 bins at random weights, then a preference value below one
    assert all(loss > 1.0 for loss in losses[:3]) and all(loss < 1.0 for loss in losses[3:])


def test_without_a_pattern_both_stages_train_every_layer(trainer_of):
    trainer = staged(trainer_of, imitation_targets="")
    adapters = [trainer.adapter(), *(trainer.adapter() for _ in trainer.steps())]
    assert all(moved(a, b) == {"vision", "language"} for a, b in itertools.pairwise(adapters))


def test_log_ratios_of_both_stages_are_to_the_reference(trainer_of):
    metrics = list(staged(trainer_of).steps())
    assert metrics[0].log_ratio["HUMAN"] == metrics[0].log_ratio["UNDESIRABLE"] == 0.0
    assert metrics[3].log_ratio["HUMAN"] > 0.0
    assert [m.z0 for m in metrics[:3]] == [0.0] * 3


def test_each_stage_has_a_learning_rate_of_its_own(trainer_of):
    trainer = staged(trainer_of, learning_rate_end=0.5)
    rates = [metrics.learning_rate for metrics in trainer.steps()]
    assert rates == pytest.approx([0.01, 0.00875, 0.00625, 0.01, 0.0075])


def test_imitation_does_not_count_for_the_guard(trainer_of):
    # every layer imitates, in large steps, which makes undesirable actions less likely too
    settings = {"imitation_targets": "", "guard_window": 1, "guard_undesirable_nats": 0.0, "learning_rate": 0.5}
    trainer = staged(trainer_of, **settings)
    ratios = [metrics.log_ratio["UNDESIRABLE"] for metrics in trainer.steps()]
    assert min(ratios[:3]) < 0.0
    assert len(ratios) == 4 and "guard_undesirable_nats" in trainer.stop_reason


@pytest.mark.parametrize("interrupted_after", [2, 4])
def test_a_resumed_run_ends_with_the_same_adapter(trainer_of, tmp_path, interrupted_after):
    whole = staged(trainer_of)
    list(whole.steps())
    first = staged(trainer_of)
    for metrics in first.steps():
        if metrics.step == interrupted_after:
            break
    first.save(tmp_path / "progress")
    second = staged(trainer_of)
    second.resume(tmp_path / "progress")
    list(second.steps())
    found, expected = second.adapter(), whole.adapter()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("method", ["dagger", "sirius"])
def test_methods_without_a_reference_have_the_stage_too(trainer_of, method):
    assert not METHODS[method].uses_reference
    assert len(list(staged(trainer_of, method=method).steps())) == 5


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "no_such_layer",
            r"imitation_targets = 'no_such_layer' matches none of the adapter's .* imitation has nothing",
        ),
        (".*", r"matches all of the adapter's .* the method has nothing to train"),
        ("(", "is no regular expression"),
    ],
)
def test_a_stage_without_layers_is_rejected(trainer_of, pattern, message):
    with pytest.raises(ConfigError, match=message):
        staged(trainer_of, imitation_targets=pattern)


def test_a_pattern_without_imitation_is_rejected(trainer_of):
    with pytest.raises(ConfigError, match=r"imitation_targets = .* needs imitation_steps above 0"):
        staged(trainer_of, imitation_steps=0)
