import dataclasses
import json

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from apo_core.errors import CheckpointError, ConfigError, ObservationError
from apo_vla.families.pi0_fast.deployment import Pi0FastDeployment
from apo_vla.lerobot.statistics import read_lerobot_statistics
from apo_vla.loading import load_checkpoint

POSE = np.array([0.1, -0.05, 1.1, 0.0, 0.7071068, 0.0, 0.7071068], np.float32)
TENSORS = {
    "action.q01": [-1.0, 0.0],
    "action.q99": [3.0, 1.0],
    "action.mean": [1.0, 0.5],
    "action.std": [0.5, 0.25],
    "observation.state.q01": [0.0, -1.0, 2.0],
    "observation.state.q99": [2.0, 1.0, 2.0],
    "observation.state.mean": [0.0] * 3,
    "observation.state.std": [1.0] * 3,
}
DEPLOYMENT = Pi0FastDeployment(state=("joints",), action_scale=(2.0, 1.0), contract_sha256="c0ffee")


@pytest.fixture
def write(tmp_path):
    def make(action="QUANTILES", state="QUANTILES", step="normalizer_processor", **tensors):
        values = {name: np.array(value, np.float32) for name, value in {**TENSORS, **tensors}.items()}
        save_file(values, tmp_path / "normalizer.safetensors")
        config = {"norm_map": {"ACTION": action, "STATE": state}}
        steps = [{"registry_name": "other"}]
        steps.append({"registry_name": step, "config": config, "state_file": "normalizer.safetensors"})
        (tmp_path / "policy_preprocessor.json").write_text(json.dumps({"steps": steps}))
        return tmp_path

    return make


def test_quantiles_are_the_ends_of_the_range(write):
    statistics = read_lerobot_statistics(write(), DEPLOYMENT)
    np.testing.assert_allclose(statistics.codec().denormalise(np.array([-1.0, 1.0])), [-2.0, 1.0])
    state = statistics.normalise_state({"joints": np.array([2.0, 0.0, 2.0])})
    np.testing.assert_allclose(state, [1.0, 0.0, -1.0])  # the last number is constant
    assert statistics.contract_sha256 == "c0ffee"


def test_mean_and_deviation_are_the_middle_and_the_half_range(write):
    statistics = read_lerobot_statistics(write("MEAN_STD", "MEAN_STD"), DEPLOYMENT)
    np.testing.assert_allclose(statistics.codec().denormalise(np.array([0.0, 2.0])), [2.0, 1.0])
    state = statistics.normalise_state({"joints": np.array([0.5, -2.0, 0.0])})
    np.testing.assert_allclose(state, [0.5, -2.0, 0.0])


def test_the_range_of_the_data_is_wider_than_a_deviation(write):
    statistics = read_lerobot_statistics(write("MEAN_STD"), DEPLOYMENT)
    found = statistics.codec().data_range
    np.testing.assert_allclose([found.low, found.high], [[-2.0, 0.0], [6.0, 1.0]])
    assert statistics.sha256 == dataclasses.replace(statistics, action_spread=()).sha256


def test_without_quantiles_it_is_three_deviations_within_the_data(write):
    deployment = dataclasses.replace(DEPLOYMENT, action_scale=())
    binary = {"action.mean": [0.0] * 6 + [-0.9], "action.std": [0.5] * 6 + [0.44]}
    ends = {"action.min": [-9.0] * 6 + [-1.0], "action.max": [9.0] * 6 + [1.0]}
    unknown = {"action.q01": [np.nan] * 7, "action.q99": [np.nan] * 7}
    statistics = read_lerobot_statistics(write("MEAN_STD", **binary, **ends, **unknown), deployment)
    found = statistics.codec().data_range
    np.testing.assert_allclose([found.low[0], found.high[0]], [-1.5, 1.5])
    np.testing.assert_allclose([found.low[6], found.high[6]], [-1.0, 1.0])


def write_postprocessor(folder, q99, action="QUANTILES"):
    values = {**TENSORS, "action.q99": q99}
    save_file({name: np.array(value, np.float32) for name, value in values.items()}, folder / "back.safetensors")
    config = {"norm_map": {"ACTION": action, "STATE": "QUANTILES"}}
    step = {"registry_name": "unnormalizer_processor", "config": config, "state_file": "back.safetensors"}
    (folder / "policy_postprocessor.json").write_text(json.dumps({"steps": [step]}))


def test_actions_are_turned_back_by_the_same_statistics(write):
    folder = write()
    write_postprocessor(folder, TENSORS["action.q99"])
    assert read_lerobot_statistics(folder, DEPLOYMENT).action_high == (3.0, 1.0)
    write_postprocessor(folder, [2.0, 1.0])
    with pytest.raises(CheckpointError, match=r"policy_postprocessor.json: action.q99 differ from policy_preprocessor"):
        read_lerobot_statistics(folder, DEPLOYMENT)
    write_postprocessor(folder, TENSORS["action.q99"], "MEAN_STD")
    with pytest.raises(CheckpointError, match=r"policy_postprocessor.json: 'MEAN_STD' of ACTION differ"):
        read_lerobot_statistics(folder, DEPLOYMENT)


def test_a_policy_without_bins_cannot_be_used_as_one_with_bins(write):
    codec = read_lerobot_statistics(write(), DEPLOYMENT).codec()
    assert not codec.one_token_a_value
    with pytest.raises(ConfigError, match="no bins"):
        codec.encode(np.zeros((1, 2)))
    with pytest.raises(ConfigError, match="no bins"):
        codec.centres(np.arange(3))


@pytest.mark.parametrize("value", [[1.0, 2.0], [np.nan, 0.0, 0.0]])
def test_a_state_that_does_not_fit_is_no_observation(write, value):
    statistics = read_lerobot_statistics(write(), DEPLOYMENT)
    with pytest.raises(ObservationError, match="must be 3 finite numbers"):
        statistics.normalise_state({"joints": np.array(value)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": "x"}, "has no step 'normalizer_processor'"),
        ({"action": "IDENTITY"}, "normalisation of action is 'IDENTITY', must be one of MEAN_STD, QUANTILES"),
        ({"state": "QUANTILE10"}, r"statistics \['observation.state.q10', 'observation.state.q90'\] are missing"),
        ({"action.q01": [4.0, 0.0]}, "must be finite, low below high"),
        ({"action.q99": [np.inf, 1.0]}, "must be finite, low below high"),
    ],
)
def test_statistics_that_cannot_be_used_are_rejected(write, changes, message):
    with pytest.raises(CheckpointError, match=message):
        read_lerobot_statistics(write(**changes), DEPLOYMENT)


def test_the_deployment_must_fit(write):
    with pytest.raises(CheckpointError, match=r"has 2 actions, action_scale \(deployment.yaml\) 3"):
        read_lerobot_statistics(write(), Pi0FastDeployment(state=("joints",), action_scale=(1.0,) * 3))
    with pytest.raises(CheckpointError, match="state must list what makes the 3 numbers of state"):
        read_lerobot_statistics(write(), Pi0FastDeployment())


def test_the_hash_is_of_what_a_number_means_and_not_of_the_contract(write):
    folder = write()
    first, same, other = (
        read_lerobot_statistics(folder, deployment).sha256
        for deployment in (
            DEPLOYMENT,
            Pi0FastDeployment(state=("joints",), action_scale=(2.0, 1.0)),
            Pi0FastDeployment(state=("joints",), action_scale=(1.0, 1.0)),
        )
    )
    assert first == same != other


def test_mean_and_deviation_normalise_as_lerobot(pi0_copy):
    path = pi0_copy / "policy_preprocessor.json"
    data = json.loads(path.read_text())
    data["steps"][1]["config"]["norm_map"] = {"STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
    path.write_text(json.dumps(data))
    path = pi0_copy / "deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "action_scale": [], "action_offset": []}))
    statistics = load_checkpoint(pi0_copy).statistics
    # mean 0 and deviation 0.01 of the actions, 0 and 1 of the state
    np.testing.assert_allclose(statistics.codec().denormalise(np.full(7, 2.0)), 0.02, rtol=1e-6)
    state = {"ee_pose": POSE, "gripper_width": np.array([0.02])}
    np.testing.assert_allclose(statistics.normalise_state(state)[:3], POSE[:3], rtol=1e-5)


def test_a_mode_that_changes_nothing_is_rejected(write):
    with pytest.raises(CheckpointError, match="normalisation of action is 'IDENTITY', must be one of MEAN_STD"):
        read_lerobot_statistics(write("IDENTITY"), DEPLOYMENT)


def test_pictures_that_are_normalised_are_rejected(write):
    folder = write()
    path = folder / "policy_preprocessor.json"
    path.write_text(path.read_text().replace('"norm_map": {', '"norm_map": {"VISUAL": "MEAN_STD", '))
    with pytest.raises(CheckpointError, match="normalisation of VISUAL is 'MEAN_STD', must be IDENTITY"):
        read_lerobot_statistics(folder, DEPLOYMENT)


def test_statistics_of_a_data_set_take_the_place_of_the_checkpoints(write):
    folder = write()
    features = {
        "action": {"q01": [0.0, 0.0], "q99": [1.0, 2.0]},
        "observation.state": {"q01": [0.0] * 3, "q99": [4.0] * 3},
    }
    (folder / "stats.json").write_text(json.dumps(features))
    statistics = read_lerobot_statistics(folder, dataclasses.replace(DEPLOYMENT, statistics="stats.json"))
    assert (statistics.action_high, statistics.state_high) == ((1.0, 2.0), (4.0, 4.0, 4.0))
    (folder / "stats.json").write_text(json.dumps({"action": features["action"]}))
    with pytest.raises(CheckpointError, match=r"stats.json: cannot be read \(KeyError: 'observation.state'\)"):
        read_lerobot_statistics(folder, dataclasses.replace(DEPLOYMENT, statistics="stats.json"))


def test_an_action_beyond_the_range_is_learned_as_far_as_ten_of_its_halves(write):
    codec = read_lerobot_statistics(write("MEAN_STD"), DEPLOYMENT).codec()
    found = codec.normalise(np.array([[4.0, 0.5], [20.0, 0.5]]))  # 2 and 10 data units around 1, deviation 0.5
    np.testing.assert_allclose(found, [[2.0, 0.0], [10.0, 0.0]])
