"""Precision of the matrix products."""

import torch

from apo_trainer.evaluation.precision import matrix_products


def test_products_have_the_wanted_precision():
    left, right = torch.eye(2), torch.eye(2)
    with matrix_products("bfloat16", torch.device("cpu")):
        assert (left @ right).dtype == torch.bfloat16
    with matrix_products("float32", torch.device("cpu")):
        assert (left @ right).dtype == torch.float32
