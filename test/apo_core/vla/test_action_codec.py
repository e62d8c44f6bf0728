import numpy as np
import pytest

from apo_core.errors import ConfigError
from apo_core.vla.action_codec import ActionCodec

Q01 = [-0.5, -1.0, 0.0]
Q99 = [0.5, 3.0, 0.0]
MASK = [True, True, False]


@pytest.fixture
def codec() -> ActionCodec:
    return ActionCodec(Q01, Q99, MASK)


def test_bins_are_those_of_openvla(codec):
    # token id = 32000 - digitize(a, linspace(-1, 1, 256)) and bin = digitize - 1, so id = 31999 - bin
    bins = codec.encode(np.array([[-0.5, -1.0, -1.0], [0.0, 1.0, 0.0], [0.5, 3.0, 1.0], [0.25, 2.0, -0.5]]))
    assert bins.tolist() == [[0, 0, 0], [127, 127, 127], [255, 255, 255], [191, 191, 63]]
    assert (31999 - bins).max() == 31999 and (31999 - bins).min() == 31744
    assert bins.dtype == np.int64


def test_decoding_gives_the_centres_of_255_intervals(codec):
    values = codec.decode(np.array([[0, 0, 0], [127, 127, 127], [254, 254, 254], [255, 255, 255]]))
    centre = 1.0 - 1.0 / 255.0
    np.testing.assert_allclose(values[:, 2], [-centre, 0.0, centre, centre], atol=1e-6)
    np.testing.assert_allclose(values[:, 0], [-0.5 * centre, 0.0, 0.5 * centre, 0.5 * centre], atol=1e-6)
    # 0.5 (a + 1) (q99 - q01) + q01
    np.testing.assert_allclose(values[:, 1], [1 - 2 * centre, 1.0, 1 + 2 * centre, 1 + 2 * centre], atol=1e-6)
    assert values.dtype == np.float32


def test_values_outside_the_range_are_clipped(codec):
    assert codec.encode(np.array([9.0, -9.0, 2.0])).tolist() == [255, 0, 255]


def test_a_round_trip_stays_within_half_a_bin(codec):
    rng = np.random.default_rng(0)
    actions = rng.uniform([-0.5, -1.0, -1.0], [0.5, 3.0, 1.0], (500, 3))
    error = np.abs(codec.decode(codec.encode(actions)) - actions)
    assert (error <= np.array([1.0, 4.0, 2.0]) / 255 / 2 + 1e-6).all()


def test_a_constant_dimension_decodes_to_its_value():
    codec = ActionCodec([0.25], [0.25], [True])
    assert codec.decode(codec.encode(np.array([0.25]))).tolist() == [0.25]


def test_faults_are_named():
    with pytest.raises(ConfigError, match="must not be above q99"):
        ActionCodec([1.0], [0.0], [True])
    with pytest.raises(ConfigError, match="one length"):
        ActionCodec([0.0, 1.0], [1.0], [True])
    codec = ActionCodec([0.0], [1.0], [True])
    with pytest.raises(ValueError, match=r"must lie in 0\.\.255"):
        codec.decode(np.array([256]))
    with pytest.raises(ValueError, match="last axis must be 1"):
        codec.encode(np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        codec.encode(np.array([np.nan]))


def test_data_units_become_contract_units_and_back():
    # steps of -0.1..0.3 m at 5 Hz, a gripper of 1 open; velocities in m/s and -1 open
    codec = ActionCodec([-0.1, 0.0], [0.3, 1.0], [True, False], scale=[5.0, -2.0], offset=[0.0, 1.0])
    np.testing.assert_allclose(codec.denormalise(np.array([[-1.0, 0.0], [1.0, 1.0]])), [[-0.5, 1.0], [1.5, -1.0]])
    np.testing.assert_allclose(codec.normalise(np.array([0.5, 0.0])), [0.0, 0.5], atol=1e-12)
    np.testing.assert_array_equal(codec.encode(codec.decode(np.array([[7, 200]]))), [[7, 200]])


@pytest.mark.parametrize(("scale", "offset"), [([1.0], [0.0]), ([0.0, 1.0], [0.0, 0.0]), ([1.0, 1.0], [0.0, np.inf])])
def test_units_that_lose_the_action_are_refused(scale, offset):
    with pytest.raises(ConfigError, match="scale"):
        ActionCodec([-0.1, 0.0], [0.3, 1.0], [True, False], scale=scale, offset=offset)
