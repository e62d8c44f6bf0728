"""The adapters that a run begins with."""

from dataclasses import replace

import pytest
from adapter_samples import CONFIG, TENSORS, plain_manifest

from apo_core.adapters.signature import make_keys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_trainer.config import TrainerConfig, TrainingConfig
from apo_trainer.runs.adapters import read_adapters
from apo_trainer.runs.files import RunRequest


@pytest.fixture
def config(tmp_path) -> TrainerConfig:
    """Of a store with the adapters 1 and 2."""
    store = AdapterStore(tmp_path / "adapters")
    for parent in (0, 1):
        store.publish(TENSORS, CONFIG, plain_manifest(parent=parent), promote=False)
    return TrainerConfig(TrainingConfig(reference="start"), adapter_dir=str(tmp_path / "adapters"))


@pytest.mark.parametrize(
    ("parent", "serving", "expected"),
    [(0, 0, (None, None)), (0, 2, (None, 2)), (2, 2, (2, None)), (1, 2, (1, 2))],
)
def test_adapter_is_read_unless_base_policy_or_parent(config, parent, serving, expected):
    adapters = read_adapters(config, RunRequest("run", parent, serving, ()))
    found = tuple(None if adapter is None else adapter[0].number for adapter in (adapters.parent, adapters.serving))
    assert found == expected
    assert adapters.key is None


def test_serving_parent_is_read_where_the_base_policy_is_the_reference(config):
    adapters = read_adapters(replace(config, training=TrainingConfig(reference="base")), RunRequest("run", 2, 2, ()))
    assert (adapters.parent[0].number, adapters.serving[0].number) == (2, 2)


def test_missing_adapter_and_key_are_reported(config, tmp_path):
    with pytest.raises(AdapterError, match="3"):
        read_adapters(config, RunRequest("run", 3, 3, ()))
    with pytest.raises(AdapterError, match="none"):
        read_adapters(TrainerConfig(signing_key=str(tmp_path / "none")), RunRequest("run", 0, 0, ()))


def test_key_signs(config, tmp_path):
    key = make_keys(tmp_path / "key", tmp_path / "pub")
    signed = TrainerConfig(adapter_dir=config.adapter_dir, signing_key=str(tmp_path / "key"))
    assert read_adapters(signed, RunRequest("run", 0, 0, ())).key.fingerprint == key.fingerprint
