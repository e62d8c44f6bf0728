import pytest
import torch

from apo_vla.families.small_vla.int8_weights import from_int8, to_int8

WEIGHTS = {
    "linear.weight": torch.tensor([[1.27, -0.635, 0.004], [0.0, 0.0, 0.0], [-12.7, 0.1, 6.4]]),
    "linear.bias": torch.tensor([0.5, -0.25]),
}


def test_a_row_is_stored_in_steps_of_its_largest_value_by_127():
    packed = to_int8(WEIGHTS)
    assert packed["linear.weight"].tolist() == [[127, -64, 0], [0, 0, 0], [-127, 1, 64]]
    assert packed["linear.weight.scale"][[0, 2]].tolist() == pytest.approx([0.01, 0.1])
    assert packed["linear.bias"].dtype == torch.float16


def test_weights_come_back_within_half_a_step():
    back = from_int8(to_int8(WEIGHTS))
    assert set(back) == set(WEIGHTS)
    error = (back["linear.weight"] - WEIGHTS["linear.weight"]).abs().amax(1)
    assert (error <= torch.tensor([0.00501, 0.0, 0.0501])).all()
    assert back["linear.bias"].tolist() == [0.5, -0.25]


def test_kernels_have_a_scale_for_each_output_channel():
    kernel = torch.stack([torch.full((2, 3, 3), 0.5), torch.full((2, 3, 3), -3.0)])
    packed = to_int8({"conv.weight": kernel})
    assert packed["conv.weight.scale"].shape == (2,)
    assert torch.allclose(from_int8(packed)["conv.weight"], kernel)


def test_other_weights_stay_as_they_are():
    half = {"a": torch.tensor([[0.1]], dtype=torch.float16)}
    assert from_int8(half)["a"] is half["a"]


@pytest.mark.parametrize("scale", [None, torch.ones(2), torch.tensor([1.0, float("nan"), 1.0])])
def test_scales_that_are_missing_or_wrong_are_rejected(scale):
    packed = {"w": torch.ones(3, 2, dtype=torch.int8)}
    if scale is not None:
        packed["w.scale"] = scale
    with pytest.raises(ValueError, match=r"w is int8 and needs w\.scale"):
        from_int8(packed)
