import copy
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_contract import contract_data

from apo_core.contract.contract import contract_from_dict, load_contract
from apo_core.errors import ConfigError, ObservationError
from apo_core.types import Observation

SHIPPED = Path(__file__).parents[3] / "config" / "contract.yaml"


@pytest.fixture
def data() -> dict:
    return contract_data(rate_hz=10)


def observation(**changes) -> Observation:
    parts = {
        "images": {"front": np.zeros((4, 6, 3), np.uint8)},
        "state": {"ee_pose": np.zeros(7, np.float32), "width": np.zeros(1, np.float32)},
    }
    return Observation(stamp_ns=1, instruction="", **{**parts, **changes})


def test_shipped_contract_is_read():
    contract = load_contract(SHIPPED)
    assert contract.period_ns == 50_000_000
    assert contract.image_names == ("agentview", "wrist")
    assert contract.state_names == ("ee_pose", "gripper_width", "joint_position", "joint_velocity")
    assert contract.state_spec("joint_velocity").field == "velocity"
    assert contract.action.size == 7


def test_json_builds_the_same_contract(data):
    contract = contract_from_dict(data, "a")
    again = contract_from_dict(yaml.safe_load(contract.json), "b")
    assert again.json == contract.json and again.sha256 == contract.sha256


def test_hash_ignores_topics_and_limits_only(data):
    base = contract_from_dict(copy.deepcopy(data), "a").sha256
    data["images"]["front"]["topic"] = "camera/front"
    data["limits"]["linear_speed"] = 0.25
    data["max_age_s"] = 1.0
    assert contract_from_dict(data, "a").sha256 == base
    data["images"]["front"]["height"] = 8
    assert contract_from_dict(data, "a").sha256 != base


OPTIONAL = {
    "linear_acceleration": 2.0,
    "angular_acceleration": 8,
    "linear_jerk": 40.0,
    "angular_jerk": 200.0,
    "step": [0.02, 0.02, 0.01, 0.1, 0.1, 0.2],
}
FEEDBACK = {"topic": "ee_twist", "type": "geometry_msgs/msg/TwistStamped"}


def test_optional_limits_and_feedback_survive_json_and_change_no_hash(data):
    plain = contract_from_dict(copy.deepcopy(data), "a")
    assert plain.limits.absent == (
        "limits.linear_acceleration",
        "limits.angular_acceleration",
        "limits.linear_jerk",
        "limits.angular_jerk",
        "limits.step",
    )
    assert plain.feedback is None and "feedback" not in plain.as_dict() and "step" not in plain.as_dict()["limits"]
    data["limits"] |= OPTIONAL
    data["feedback"] = FEEDBACK
    full = contract_from_dict(data, "a")
    assert full.limits.absent == ()
    assert (full.limits.angular_acceleration, full.limits.step[5], full.feedback.topic) == (8.0, 0.2, "ee_twist")
    assert full.sha256 == plain.sha256
    assert contract_from_dict(yaml.safe_load(full.json), "b").json == full.json


def test_the_shipped_base_policy_was_made_for_the_shipped_contract():
    statistics = json.loads((SHIPPED.parents[1] / "models" / "lift_base" / "dataset_statistics.json").read_text())
    assert load_contract(SHIPPED).sha256 == statistics["contract_sha256"]


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_mapping_is_rejected(data):
    with pytest.raises(ConfigError):
        contract_from_dict(data, "contract.yaml")


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_contract(tmp_path / "absent.yaml")


def test_fitting_observation_passes(data):
    contract_from_dict(data, "a").check_observation(observation())


def test_every_misfit_of_an_observation_is_named(data):
    wrong = observation(
        images={"front": np.zeros((4, 5, 3), np.uint8)}, state={"ee_pose": np.full(7, np.nan, np.float32)}
    )
    with pytest.raises(ObservationError) as caught:
        contract_from_dict(data, "a").check_observation(wrong)
    text = str(caught.value)
    assert "image 'front' is uint8 (4, 5, 3)" in text
    assert "state 'ee_pose' is not finite" in text
    assert "state 'width' is missing" in text


def test_unknown_state_is_rejected(data):
    with pytest.raises(ObservationError, match="'torque' is not in the contract"):
        contract_from_dict(data, "a").state_spec("torque")


def test_hash_of_the_shipped_contract_stays():
    assert load_contract(SHIPPED).sha256 == "64c62005393f116f510a97dc04fad07df7bc32ee52991d2771641a2476d1d1ca"


@pytest.mark.parametrize(
    ("encoding", "shape", "dtype"),
    [
        ("rgb8", (4, 6, 3), np.uint8),
        ("bgr8", (4, 6, 3), np.uint8),
        ("mono8", (4, 6, 1), np.uint8),
        ("16UC1", (4, 6, 1), np.uint16),
    ],
)
def test_encoding_gives_shape_and_dtype_of_an_image(data, encoding, shape, dtype):
    data["images"]["front"]["encoding"] = encoding
    contract = contract_from_dict(data, "a")
    (spec,) = contract.images
    assert (spec.shape, spec.dtype) == (shape, dtype)
    contract.check_observation(observation(images={"front": np.zeros(shape, dtype)}))
    with pytest.raises(ObservationError, match="image 'front' is float32"):
        contract.check_observation(observation(images={"front": np.zeros(shape, np.float32)}))


def test_transport_and_rates_are_kept_but_do_not_change_the_hash(data):
    base = contract_from_dict(copy.deepcopy(data), "a")
    data["images"]["front"] |= {"type": "sensor_msgs/msg/CompressedImage", "rate_hz": 30}
    data["state"]["ee_pose"]["rate_hz"] = 100.0
    changed = contract_from_dict(data, "a")
    assert changed.sha256 == base.sha256 and changed.json != base.json
    again = contract_from_dict(yaml.safe_load(changed.json), "b")
    assert again.images[0].type == "sensor_msgs/msg/CompressedImage"
    assert (again.images[0].rate_hz, again.state[0].rate_hz, again.state[1].rate_hz) == (30.0, 100.0, 0.0)
