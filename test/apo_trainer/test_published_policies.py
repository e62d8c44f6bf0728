"""The training loop on published families, with small random weights in their own format."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import published_checkpoints as published
import published_flows
import pytest
import torch

from apo_episodes.labeling import LabelRule
from apo_trainer.config import TrainingConfig
from apo_trainer.data.dataset import load_training_data
from apo_trainer.data.samples import SampleClass
from apo_trainer.optimisation.trainer import Trainer
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.lora.shape import LoraShape
from apo_vla.policy import VlaPolicy

ROBOT = {"cameras": ["front"], "action_scale": [], "action_offset": []}
SETTINGS = TrainingConfig(
    steps=3,
    batch_size=4,
    learning_rate=0.01,
    warmup_steps=0,
    label_rule=LabelRule(undesirable_steps=3),
    lora=LoraShape(lora_rank=2),
)


@pytest.fixture
def make_trainer(interactions, contract, tmp_path):
    def make(folder: Path, **changes) -> Trainer:
        torch.set_num_threads(1)
        settings = replace(SETTINGS, **changes)
        policy = VlaPolicy.load(folder, lora=None)
        paths = sorted(interactions.glob("*.h5"))
        rule, share = settings.label_rule, settings.held_out_share
        data = load_training_data(paths, rule, policy.chunk, share, contract.sha256)
        return Trainer(policy, data, settings)

    return make


def openvla(folder: Path, contract_sha256: str) -> Path:
    return published.make_openvla(folder, contract_sha256=contract_sha256, **ROBOT)


def discrete_oft(folder: Path, contract_sha256: str) -> Path:
    changes = {**ROBOT, "chunk": 2, "contract_sha256": contract_sha256}
    return published.make_openvla_oft(folder, continuous=False, proprio=False, **changes)


def continuous_oft(folder: Path, contract_sha256: str) -> Path:
    changes = {**ROBOT, "chunk": 2, "contract_sha256": contract_sha256}
    return published.make_openvla_oft(folder, proprio=False, **changes)


def pi0_fast(folder: Path, contract_sha256: str) -> Path:
    changes = {"cameras": ["front"], "state": ["ee_pose"], "contract_sha256": contract_sha256}
    published.make_pi0_fast(folder, state_size=7, **changes)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_decoding_steps": 40}))
    return folder


def flow(kind: str):
    def make(folder: Path, contract_sha256: str) -> Path:
        settings = {"state_size": 7, "cameras": ["front"], "state": ["ee_pose"], "contract_sha256": contract_sha256}
        return getattr(published_flows, f"make_{kind}")(folder, **settings)

    make.__name__ = kind
    return make


FLOWS = [flow("smolvla"), flow("pi0"), flow("pi05")]


@pytest.mark.parametrize("make", [openvla, discrete_oft, continuous_oft, pi0_fast, *FLOWS])
def test_the_adapter_learns_and_nothing_else_changes(make_trainer, contract, tmp_path, make):
    trainer = make_trainer(make(tmp_path / "policy", contract.sha256))
    before = {name: value.clone() for name, value in trainer.policy.model.named_parameters()}
    metrics = list(trainer.steps())
    assert [m.step for m in metrics] == [1, 2, 3] and all(np.isfinite(m.loss) for m in metrics)
    assert metrics[0].log_ratio["HUMAN"] == pytest.approx(0.0, abs=1e-4)
    assert metrics[-1].log_ratio["HUMAN"] > 0.01  # the operator's actions become more likely
    changed = {n for n, value in trainer.policy.model.named_parameters() if not torch.equal(value, before[n])}
    assert changed and all(".lora_" in name for name in changed)
    assert trainer.held_out().means and all(np.isfinite(v).all() for v in trainer.adapter().values())


@pytest.mark.parametrize("make", [pi0_fast, continuous_oft, *FLOWS])
def test_held_out_corrections_become_likelier_than_undesirable_steps(make_trainer, contract, tmp_path, make):
    trainer = make_trainer(make(tmp_path / "policy", contract.sha256), steps=20)
    list(trainer.steps())
    means = trainer.held_out().means
    human, undesirable = means[SampleClass.HUMAN], means[SampleClass.UNDESIRABLE]
    assert human.log_ratio > 0.0 and human.log_ratio > undesirable.log_ratio


def test_limits_of_log_ratios_are_wider_for_a_flow(make_trainer, contract, tmp_path):
    folder = flow("smolvla")(tmp_path / "policy", contract.sha256)
    wide = make_trainer(folder, guard_undesirable_nats=-80.0, gate_own_success_nats=-60.0)
    plain = make_trainer(folder, likelihood=LikelihoodSettings(flow_limit_scale=1.0))
    (note,) = (note for note in wide.notes if "flow_limit_scale" in note)
    assert "guard_undesirable_nats = -2000 and gate_own_success_nats = -1500, by flow_limit_scale = 25" in note
    assert not any("flow_limit_scale" in note for note in plain.notes)
