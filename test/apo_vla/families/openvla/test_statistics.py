import json
import math

import numpy as np
import pytest

from apo_core.errors import CheckpointError, ObservationError
from apo_vla.families.openvla.deployment import OpenVlaDeployment
from apo_vla.families.openvla.statistics import read_norm_stats, select

ACTION = {"q01": [-0.1, 0.0], "q99": [0.3, 1.0], "min": [-1.0, 0.0], "max": [1.0, 1.0], "mask": [True, False]}
PROPRIO = {"q01": [-1.0] * 8, "q99": [3.0] * 8, "min": [-2.0] * 8, "max": [2.0] * 8}
STATS = {"bridge_orig": {"action": ACTION, "proprio": PROPRIO}, "fractal": {"action": ACTION}}
STATE = ("ee_pose:position_axis_angle", "gripper_width:two_fingers")


def test_actions_are_in_contract_units():
    deployment = OpenVlaDeployment(statistics_key="bridge_orig", action_scale=(5.0, -2.0), action_offset=(0.0, 1.0))
    codec = select(STATS, deployment, False, "here").codec()
    # the middle of -0.1..0.3 per step at 5 Hz, and an open gripper: 1 in the data, -1 in the contract
    np.testing.assert_allclose(codec.denormalise(np.array([0.0, 1.0])), [0.5, -1.0], rtol=1e-6)
    np.testing.assert_allclose(codec.normalise(np.array([0.5, -1.0])), [0.0, 1.0], atol=1e-12)


def test_bounds_replace_quantiles_where_asked():
    codec = select(STATS, OpenVlaDeployment(statistics_key="fractal", normalisation="bounds"), False, "here").codec()
    np.testing.assert_allclose(codec.denormalise(np.array([1.0, 0.25])), [1.0, 0.25])


@pytest.mark.parametrize("key", ["", "bridge"])
def test_an_unknown_key_lists_those_there_are(key):
    with pytest.raises(CheckpointError, match=f"statistics_key = '{key}' .* must be one of: bridge_orig, fractal"):
        select(STATS, OpenVlaDeployment(statistics_key=key), False, "here")


def test_a_single_key_needs_no_name():
    assert select({"only": STATS["fractal"]}, OpenVlaDeployment(), False, "here").key == "only"


def test_incomplete_statistics_are_rejected():
    with pytest.raises(CheckpointError, match=r"statistics 'fractal' lack proprio.q01 and .q99"):
        select(STATS, OpenVlaDeployment(statistics_key="fractal"), True, "here")
    wrong = {"x": {"action": {**ACTION, "q99": [-0.5, 1.0]}}}
    with pytest.raises(CheckpointError, match=r"low below high"):
        select(wrong, OpenVlaDeployment(), False, "here")


def test_a_scale_of_another_length_is_rejected():
    with pytest.raises(CheckpointError, match=r"have 2 actions, action_scale .* 1"):
        select(STATS, OpenVlaDeployment(statistics_key="fractal", action_scale=(5.0,)), False, "here")


def test_proprioception_is_made_of_contract_state():
    statistics = select(STATS, OpenVlaDeployment(statistics_key="bridge_orig", state=STATE), True, "here")
    half = math.sqrt(0.5)  # a quarter turn about z
    state = {"ee_pose": np.array([0.5, 0.0, 1.0, 0, 0, half, half]), "gripper_width": np.array([0.08])}
    wanted = [(v + 1) / 2 - 1 for v in (0.5, 0.0, 1.0, 0.0, 0.0, math.pi / 2, 0.04, -0.04)]
    np.testing.assert_allclose(statistics.normalise_state(state), wanted, atol=1e-6)


def test_proprioception_is_clipped():
    statistics = select(STATS, OpenVlaDeployment(statistics_key="bridge_orig", state=("joints",)), True, "here")
    assert statistics.normalise_state({"joints": np.full(8, 9.0)}).tolist() == [1.0] * 8


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "state 'ee_pose' is missing"),
        ({"ee_pose": np.zeros(6), "gripper_width": np.zeros(1)}, r"shape \(6,\), position_axis_angle .* takes \(7,\)"),
        ({"ee_pose": np.full(7, np.nan), "gripper_width": np.zeros(1)}, "must be 8 finite numbers"),
    ],
)
def test_a_state_that_does_not_fit_is_rejected(state, message):
    statistics = select(STATS, OpenVlaDeployment(statistics_key="bridge_orig", state=STATE), True, "here")
    with pytest.raises(ObservationError, match=message):
        statistics.normalise_state(state)


def test_the_file_of_a_fine_tune_comes_before_config_json(tmp_path):
    assert read_norm_stats(tmp_path, {"norm_stats": STATS}) == STATS
    (tmp_path / "dataset_statistics.json").write_text(json.dumps({"mine": STATS["fractal"]}))
    assert list(read_norm_stats(tmp_path, {"norm_stats": STATS})) == ["mine"]
    (tmp_path / "dataset_statistics.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"dataset_statistics.json: cannot be read"):
        read_norm_stats(tmp_path, {})


def test_no_statistics_are_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"neither dataset_statistics.json nor norm_stats"):
        read_norm_stats(tmp_path, {"norm_stats": {}})


def test_the_hash_changes_with_what_a_number_means():
    hashes = {
        select(STATS, deployment, False, "here").sha256
        for deployment in (
            OpenVlaDeployment(statistics_key="fractal"),
            OpenVlaDeployment(statistics_key="fractal", action_scale=(2.0, 1.0)),
            OpenVlaDeployment(statistics_key="fractal", normalisation="bounds"),
        )
    }
    assert len(hashes) == 3
