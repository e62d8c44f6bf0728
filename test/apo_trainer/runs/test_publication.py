"""Publication of a run's adapter."""

from dataclasses import replace

import numpy as np
import pytest

from apo_core.adapters.signature import make_keys, read_signing_key, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_trainer.config import TrainerConfig
from apo_trainer.evaluation.gate import Verdict
from apo_trainer.runs.publication import publish
from apo_trainer.runs.result import RunResult


@pytest.fixture
def trainer(trainer_of):
    """A run of one step that is done."""
    made = trainer_of(steps=1)
    list(made.steps())
    made.finish()
    made.policy.base_sha256, made.policy.statistics_sha256 = "a" * 64, "b" * 64
    return made


@pytest.fixture
def config(trainer) -> TrainerConfig:
    return TrainerConfig(trainer.config)


@pytest.fixture
def result(trainer) -> RunResult:
    """The run before its publication."""
    return RunResult(
        "run 1",
        parent=0,
        serving=0,
        method="apo",
        planned_steps=1,
        steps=1,
        verdict=Verdict(True, (), (), {"held_out_l1": 0.25}),
        metrics={"loss": 0.5},
        data=trainer.data.report(trainer.policy.codec),
        notes=("no EXPERT sample",),
    )


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


def test_the_manifest_has_what_the_run_did(store, config, trainer, result):
    assert publish(store, config, trainer, None, result) == 1
    version, tensors = store.read(1)
    assert (version.parent, version.method, version.episode_ids) == (0, "apo", trainer.data.episode_ids)
    assert (version.base_model_sha256, version.contract_sha256) == ("a" * 64, trainer.policy.contract_sha256)
    assert (version.config, version.config_sha256) == (config.training.facts, config.training.sha256)
    assert (version.metrics["run_id"], version.metrics["last_step"]) == ("run 1", {"loss": 0.5})
    assert version.metrics["notes"] == ["no EXPERT sample"]
    assert version.metrics["data"]["train_samples"] == result.data.train_samples
    assert version.verdict == result.verdict.as_dict()
    assert version.self_test == trainer.self_test()
    for name, value in trainer.adapter().items():
        np.testing.assert_array_equal(tensors[name], value)


@pytest.mark.parametrize(("promote", "promoted"), [(True, 1), (False, 0)])
def test_promotion_follows_the_configuration(store, config, trainer, result, promote, promoted):
    publish(store, replace(config, promote=promote), trainer, None, result)
    assert store.promotion().number == promoted


def test_a_run_that_goes_on_publishes_its_adapter_once(store, config, trainer, result):
    publish(store, replace(config, promote=False), trainer, None, result)
    # it ended between publication and promotion
    assert publish(store, config, trainer, None, result) == 1
    assert (store.versions(), store.promotion().number) == ([1], 1)


def test_another_run_with_the_same_tensors_has_an_adapter_of_its_own(store, config, trainer, result):
    publish(store, config, trainer, None, result)
    assert publish(store, config, trainer, None, replace(result, run_id="run 2")) == 2
    assert store.promotion().number == 2


def test_a_rolled_back_adapter_is_not_promoted_again(store, config, trainer, result):
    publish(store, config, trainer, None, result)
    publish(store, config, trainer, None, replace(result, run_id="run 2"))
    store.promote(1, "2026-01-01T00:00:00+00:00")
    assert publish(store, config, trainer, None, replace(result, run_id="run 2")) == 2
    assert store.promotion().number == 1


def test_a_damaged_adapter_is_not_taken_for_the_run_s_own(store, config, trainer, result):
    publish(store, config, trainer, None, result)
    next(store.path.glob("000001/manifest.json")).write_text("{")
    assert publish(store, config, trainer, None, result) == 2


def test_a_verdict_against_the_adapter_stays_out_of_its_manifest(store, config, trainer, result):
    rejected = replace(result, verdict=Verdict(False, ("worse than the reference",), (), {}))
    publish(store, config, trainer, None, rejected)
    assert store.manifest(1)["verdict"] is None


def test_a_key_signs_the_adapter(store, config, trainer, result, tmp_path):
    make_keys(tmp_path / "key", tmp_path / "key.pub")
    publish(store, config, trainer, read_signing_key(tmp_path / "key"), result)
    AdapterStore(store.path, read_trusted_keys(tmp_path / "key.pub")).read(1)
    publish(store, config, trainer, None, replace(result, run_id="run 2"))
    with pytest.raises(AdapterError, match="sign"):
        AdapterStore(store.path, read_trusted_keys(tmp_path / "key.pub")).read(2)


@pytest.mark.parametrize("lacking", ["data", "verdict"])
def test_a_run_without_data_or_verdict_has_nothing_to_publish(store, config, trainer, result, lacking):
    with pytest.raises(ValueError, match="run 1 has no data or no verdict yet"):
        publish(store, config, trainer, None, replace(result, **{lacking: None}))
    assert store.versions() == []
