import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.errors import ConfigError
from apo_vla.actions.codec import ActionCodec
from apo_vla.checkpoints.statistics import DatasetStatistics
from apo_vla.families.openvla.deployment import OpenVlaDeployment
from apo_vla.families.openvla.statistics import select

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


def test_bins_decode_to_the_centres_of_255_intervals(codec):
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
def test_units_that_lose_the_action_are_rejected(scale, offset):
    with pytest.raises(ConfigError, match="scale"):
        ActionCodec([-0.1, 0.0], [0.3, 1.0], [True, False], scale=scale, offset=offset)


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Of random training data."""

    low: list[float]
    high: list[float]
    mask: list[bool]
    scale: list[float]
    offset: list[float]


@st.composite
def ranges(draw) -> Ranges:
    """1 to 4 dimensions: wide, too narrow for float32, or constant; contract units that turn and shift them."""
    size = draw(st.integers(1, 4))

    def numbers(of):
        return draw(st.lists(of, min_size=size, max_size=size))

    low = numbers(st.floats(-1e3, 1e3))
    widths = numbers(st.one_of(st.just(0.0), st.floats(1e-9, 1e-3), st.floats(1e-3, 1e3)))
    scale = numbers(st.sampled_from([1.0, -1.0, 20.0, -0.05, 1e3]))
    high = [a + b for a, b in zip(low, widths, strict=True)]
    return Ranges(low, high, numbers(st.booleans()), scale, numbers(st.floats(-1e3, 1e3)))


def of_small_vla(found: Ranges, bins: int) -> ActionCodec:
    zeros = (0.0,) * len(found.low)
    return DatasetStatistics(
        tuple(found.low), tuple(found.high), zeros, zeros, tuple(found.mask), {}, {}, 1, "c0ffee"
    ).codec(bins)


def of_published(found: Ranges, bins: int, normalisation: str, low: str, high: str) -> ActionCodec:
    norm_stats = {"data": {"action": {low: found.low, high: found.high, "mask": found.mask}}}
    deployment = OpenVlaDeployment(
        normalisation=normalisation, action_scale=tuple(found.scale), action_offset=tuple(found.offset)
    )
    return select(norm_stats, deployment, False, "here").codec(bins)


def of_openvla(found: Ranges, bins: int) -> ActionCodec:
    return of_published(found, bins, "q99", "q01", "q99")


def of_oft(found: Ranges, bins: int) -> ActionCodec:
    return of_published(found, bins, "bounds", "min", "max")


def every_bin(codec: ActionCodec) -> np.ndarray:
    return np.repeat(np.arange(codec.bins)[:, None], codec.size, axis=1)


@pytest.mark.parametrize("make", [of_small_vla, of_openvla, of_oft])
@given(found=ranges(), bins=st.integers(3, 256))
def test_what_a_bin_decodes_to_is_encoded_as_its_class(make, found, bins):
    codec = make(found, bins)
    chosen = every_bin(codec)
    values = codec.decode(chosen)
    again = codec.encode(values)
    np.testing.assert_array_equal(again, codec.classes.T)
    np.testing.assert_array_equal(codec.decode(again), values)
    assert codec.agree(chosen, values).all()


@pytest.mark.parametrize("make", [of_small_vla, of_openvla, of_oft])
@given(found=ranges(), bins=st.integers(3, 256))
def test_a_class_is_an_interval_of_bins_with_one_value_of_its_own(make, found, bins):
    codec = make(found, bins)
    values = codec.decode(every_bin(codec))
    for classes, decoded in zip(codec.classes, values.T, strict=True):
        assert (np.diff(classes) >= 0).all() and (classes >= np.arange(bins)).all()
        np.testing.assert_array_equal(classes[classes], classes)
        np.testing.assert_array_equal(decoded[classes], decoded)
        assert len(np.unique(decoded)) == len(np.unique(classes))


def test_bins_of_one_value_are_one_action():
    codec = ActionCodec([-1.0, 0.25], [1.0, 0.25], [True, True], bins=4)
    assert codec.classes.tolist() == [[0, 1, 3, 3], [3, 3, 3, 3]]
    assert codec.encode(np.array([[2 / 3, 0.25], [1.0, 0.3]])).tolist() == [[3, 3], [3, 3]]


def test_bins_agree_with_the_action_that_they_decode_to_alone(codec):
    bins = np.array([[0, 127, 254], [0, 127, 255], [1, 127, 254], [-1, -1, -1], [0, 127, 256], [0, 127, 254]])
    actions = np.repeat(codec.decode(np.array([[0, 127, 254]])), 6, axis=0)
    actions[5, 1] = np.nan
    assert codec.agree(bins, actions).tolist() == [True, True, False, False, False, False]
    assert codec.agree(bins[0], np.nextafter(actions[0], np.float32(9))).item()
