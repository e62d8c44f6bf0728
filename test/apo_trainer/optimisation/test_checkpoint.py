"""A run that goes on does what it would have done uninterrupted, to the bit."""

import itertools

import pytest
import torch

from apo_trainer.optimisation.checkpoint import ResumeError
from apo_trainer.optimisation.trainer import Resources


def take(trainer, count):
    return list(itertools.islice(trainer.steps(), count))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"views": 3, "lora_dropout": 0.3},
        {"micro_batch_size": 3},
        {"method": "dagger"},
        {"ema_decay": 0.9},
        {"judge_every": 1},
        {"optimizer": "muon"},
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(trainer_of, tmp_path, changes):
    whole = trainer_of(**changes)
    wanted = list(whole.steps())
    first = trainer_of(**changes)
    take(first, 3)
    first.save(tmp_path / "progress")
    second = trainer_of(**changes)
    second.resume(tmp_path / "progress")
    assert second.step == 3
    assert list(second.steps()) == wanted[3:]
    for trainer in (whole, second):
        trainer.finish()
    assert all((second.adapter()[name] == value).all() for name, value in whole.adapter().items())


def test_what_the_machine_gives_changes_no_step(trainer_of, tmp_path):
    wanted = list(trainer_of(views=2).steps())
    poor = Resources(feature_cache_mb=0, reference_cache_dir=tmp_path / "cache", workers=2)
    assert list(trainer_of(poor, views=2).steps()) == wanted
    # now every value of the reference comes from the disk
    assert list(trainer_of(poor, views=2).steps()) == wanted


def test_the_target_of_z0_goes_on_with_its_window(trainer_of, tmp_path):
    changes = {"steps": 100, "target_kl": 0.05, "guard_window": 5}
    whole = trainer_of(**changes)
    count = len(list(whole.steps()))
    assert 5 <= count < 100
    assert "above target_kl = 0.05 (config/trainer.yaml)" in whole.stop_reason
    first, second = trainer_of(**changes), trainer_of(**changes)
    take(first, count - 1)
    assert not first.stop_reason
    first.save(tmp_path / "progress")
    second.resume(tmp_path / "progress")
    assert len(list(second.steps())) == 1
    assert second.stop_reason == whole.stop_reason


def test_the_guard_goes_on_with_its_window(trainer_of, tmp_path):
    changes = {"steps": 100, "guard_undesirable_nats": -1.0, "guard_window": 5}
    whole = trainer_of(**changes)
    count = len(list(whole.steps()))
    assert count < 100
    first, second = trainer_of(**changes), trainer_of(**changes)
    take(first, count - 2)
    first.save(tmp_path / "progress")
    second.resume(tmp_path / "progress")
    assert len(list(second.steps())) == 2
    assert second.stop_reason == whole.stop_reason


@pytest.mark.parametrize(
    ("changes", "what"), [({"learning_rate": 0.02}, "parameters of the training"), ({"held_out_share": 0.0}, "samples")]
)
def test_a_run_of_other_settings_or_data_cannot_go_on(trainer_of, tmp_path, changes, what):
    first = trainer_of()
    take(first, 1)
    first.save(tmp_path / "progress")
    with pytest.raises(ResumeError, match=f"{what}.* changed since; start a new run"):
        trainer_of(**changes).resume(tmp_path / "progress")


@pytest.mark.parametrize("content", [b"", b"no tensors at all", None])
def test_a_file_that_is_none_is_rejected(trainer_of, tmp_path, content):
    if content is not None:
        (tmp_path / "progress").write_bytes(content)
    with pytest.raises(ResumeError, match="cannot be read"):
        trainer_of().resume(tmp_path / "progress")


def test_a_failed_write_leaves_the_file_before_it(trainer_of, tmp_path, monkeypatch):
    trainer, path = trainer_of(), tmp_path / "progress"
    take(trainer, 1)
    trainer.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.glob("progress*")] == ["progress"]


def test_the_optimizer_is_part_of_it(trainer_of, tmp_path):
    # plain weights would start Adam's moments anew, and the fourth step would differ
    first = trainer_of()
    take(first, 3)
    tensors = {name: torch.tensor(value) for name, value in first.adapter().items()}
    restarted = trainer_of()
    from apo_vla.lora.adapter import stage, swap

    swap(restarted.policy.model, stage(restarted.policy.model, {n: t.numpy() for n, t in tensors.items()}))
    restarted.step = 3
    first.save(tmp_path / "progress")
    resumed = trainer_of()
    resumed.resume(tmp_path / "progress")
    for trainer in (restarted, resumed):
        take(trainer, 1)
    assert any((resumed.adapter()[name] != restarted.adapter()[name]).any() for name in tensors)
