"""Metrics of one optimizer step."""

import pytest
import torch

from apo_trainer.data.samples import SampleClass
from apo_trainer.losses import LossOutput
from apo_trainer.methods import Terms
from apo_trainer.optimisation.step_metrics import step_metrics

H, U = SampleClass.HUMAN, SampleClass.UNDESIRABLE


@pytest.fixture
def metrics():
    """Of three rows: two human, one undesirable."""
    empty = torch.zeros(0)
    terms = Terms(
        policy_logps=torch.tensor([-1.0, -2.0, -3.0]),
        ref_logps=torch.zeros(3),
        desirable=torch.tensor([True, True, False]),
        classes=(H, H, U),
        l1=torch.tensor([0.25, 0.75, 1.0]),
        edges=torch.tensor([0.0, 0.5, 1.0]),
        token_counts=torch.full((3,), 7),
        kl_policy_logps=empty,
        kl_ref_logps=empty,
    )
    out = LossOutput(
        loss=torch.tensor(0.5),
        log_ratios=torch.tensor([1.0, 3.0, -4.0]),
        weights=torch.tensor([0.5, 1.0, 0.25]),
        values=torch.tensor([0.25, 0.5, 0.125]),
        z0=torch.tensor(0.75),
    )
    return step_metrics(9, 1e-3, torch.tensor(2.0), terms, out)


def test_means_are_by_class_and_none_without_rows(metrics):
    assert metrics.log_ratio == {"EXPERT": None, "POLICY": None, "HUMAN": 2.0, "UNDESIRABLE": -4.0}
    assert metrics.weight["HUMAN"] == 0.75
    assert metrics.l1 == {"EXPERT": None, "POLICY": None, "HUMAN": 0.5, "UNDESIRABLE": 1.0}
    assert metrics.edge_share["UNDESIRABLE"] == 1.0


def test_steps_count_from_one_and_plain_data_has_no_rows(metrics):
    plain = metrics.as_dict()
    assert (plain["step"], plain["loss"], plain["z0"], plain["grad_norm"]) == (10, 0.5, 0.75, 2.0)
    assert "samples" not in plain
    assert metrics.samples["loss"] == [-0.25, -0.5, -0.125]
