import dataclasses

import numpy as np
import pytest

from apo_core.errors import CheckpointError, ObservationError
from apo_vla.checkpoints.statistics import compute_statistics, read_statistics


def frames(count: int = 101):
    ramp = np.linspace(0.0, 1.0, count)
    actions = np.stack([ramp, 2 * ramp - 1], axis=1)
    states = {"pose": np.stack([ramp, np.full(count, 3.0)], axis=1), "width": ramp[:, None]}
    return actions, states


def test_quantiles_and_moments():
    s = compute_statistics(*frames(), mask=[True, False], contract_sha256="abc")
    np.testing.assert_allclose(s.action_q01, [0.01, -0.98])
    np.testing.assert_allclose(s.action_q99, [0.99, 0.98])
    np.testing.assert_allclose(s.action_mean, [0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(s.state_mean["pose"], [0.5, 3.0])
    assert s.state_std["pose"][1] == 0.0
    assert s.num_frames == 101 and s.action_mask == (True, False) and s.state_size == 3
    codec = s.codec()
    assert codec.encode(np.array([0.01, 0.5])).tolist() == [0, 191]


def test_state_is_joined_in_order_scaled_and_clipped():
    s = compute_statistics(*frames(), mask=[True, True], contract_sha256="abc")
    std = s.state_std["width"][0]
    # a constant part is divided by 1e-3 at least; whatever lies far out is clipped to 5
    value = s.normalise_state({"width": np.array([0.5 + std]), "pose": np.array([0.5 - 2 * std, 3.001])})
    np.testing.assert_allclose(value, [-2.0, 1.0, 1.0], atol=1e-5)
    assert value.dtype == np.float32
    assert s.normalise_state({"width": np.array([99.0]), "pose": np.array([0.5, 2.0])}).tolist() == [0.0, -5.0, 5.0]


def test_a_state_that_does_not_fit_is_rejected():
    s = compute_statistics(*frames(), mask=[True, True], contract_sha256="abc")
    with pytest.raises(ObservationError, match=r"'width' has shape None, the policy was trained with \(1,\)"):
        s.normalise_state({"pose": np.zeros(2)})
    with pytest.raises(ObservationError, match=r"'pose' has shape \(3,\)"):
        s.normalise_state({"pose": np.zeros(3), "width": np.zeros(1)})
    with pytest.raises(ObservationError, match="not finite"):
        s.normalise_state({"pose": np.array([np.nan, 0.0]), "width": np.zeros(1)})


def test_the_file_is_read_as_it_was_written(tmp_path):
    s = compute_statistics(*frames(), mask=[True, False], contract_sha256="abc")
    path = tmp_path / "dataset_statistics.json"
    path.write_text(s.to_json())
    assert dataclasses.asdict(read_statistics(path)) == dataclasses.asdict(s)
    path.write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_statistics(path)


def test_no_frames_are_rejected():
    with pytest.raises(ValueError, match="0 actions"):
        compute_statistics(np.zeros((0, 2)), {}, [True, True], "abc")
