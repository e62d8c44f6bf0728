"""Every fault of a contract file is reported at once, each with its place."""

import pytest
from small_contract import contract_data

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import ConfigError


@pytest.fixture
def data() -> dict:
    return contract_data(rate_hz=10)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("linear_acceleration", 0, "limits.linear_acceleration = 0.0 must be above 0"),
        ("angular_jerk", float("inf"), "limits.angular_jerk = inf must be above 0 and at most 1e"),
        ("linear_jerk", "soft", "limits.linear_jerk = 'soft' must be of type float"),
        ("linear_acceleration", 1e308, "must be above 0 and at most 1e"),
        ("workspace_high", [1e308, 1.0, 1.0], "none beyond 1e"),
        ("step", [0.1] * 5 + [1e308], "must be six numbers above 0, at most 1e"),
        ("step", [0.1, 0.1, 0.1], r"limits.step = \(0.1, 0.1, 0.1\) must be six numbers above 0"),
        ("step", [0.1, 0.1, 0.1, 0.1, 0.1, -0.1], "must be six numbers above 0"),
        ("linear_acceleratoin", 2.0, "limits.linear_acceleratoin is not a limit; known: linear_speed"),
    ],
)
def test_a_faulty_limit_is_rejected(data, name, value, fault):
    data["limits"][name] = value
    with pytest.raises(ConfigError, match=fault):
        contract_from_dict(data, "contract.yaml")


@pytest.mark.parametrize("i", range(6))
@pytest.mark.parametrize(("low", "high"), [(0.1, 1.0), (-1.0, -0.1)])
def test_a_range_in_which_the_arm_cannot_stand_still_is_rejected(data, i, low, high):
    data["action"]["low"][i], data["action"]["high"][i] = low, high
    name = "abcdef"[i]
    with pytest.raises(ConfigError, match=f"action.low of {name} = {low} must be at most 0 and action.high = {high}"):
        contract_from_dict(data, "contract.yaml")


def test_a_range_may_end_at_rest_and_that_of_the_gripper_is_free(data):
    data["action"]["low"][:2], data["action"]["high"][:2] = [0.0, -1.0], [1.0, 0.0]
    data["action"]["low"][6] = 0.5
    assert contract_from_dict(data, "contract.yaml").action.low == (0.0, -1.0, -1.0, -1.0, -1.0, -1.0, 0.5)


def test_feedback_of_another_type_is_rejected(data):
    data["feedback"] = {"topic": "ee_twist", "type": "geometry_msgs/msg/Twist"}
    with pytest.raises(ConfigError, match=r"feedback\.type = 'geometry_msgs/msg/Twist' is not one of"):
        contract_from_dict(data, "contract.yaml")


def test_every_fault_is_listed_with_its_place(data):
    data["rate_hz"] = 0
    del data["images"]["front"]["height"]
    data["state"]["ee_pose"]["size"] = 6
    data["state"]["width"]["field"] = "colour"
    data["action"]["low"][2] = "down"
    data["limits"]["workspace_low"] = [2.0, -1.0, 0.0]
    with pytest.raises(ConfigError) as caught:
        contract_from_dict(data, "contract.yaml")
    text = str(caught.value)
    for part in (
        "rate_hz = 0.0 must be 0.01..1000",
        "images.front.height is missing",
        "state.ee_pose.size = 6, a geometry_msgs/msg/PoseStamped has 7",
        "state.width.field = 'colour'",
        "action.low = [-1.0, -1.0, 'down', -1.0, -1.0, -1.0, -1.0] must be finite numbers",
        "limits.workspace_low must be three numbers below limits.workspace_high",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 2),
        ("rate_hz", float("nan")),
        ("rate_hz", True),
        ("images", {"front/../x": {"topic": "t", "height": 4, "width": 6, "encoding": "rgb8"}}),
        ("images", {"ee_pose": {"topic": "t", "height": 4, "width": 6, "encoding": "rgb8"}}),
        ("images", {"front": 3}),
        ("images", {"front": {"topic": "t", "height": 4, "width": 6, "encoding": "jpeg"}}),
        ("images", {"front": {"topic": "t", "height": 10_000, "width": 6, "encoding": "rgb8"}}),
        ("state", []),
        ("action", {"names": ["x"], "units": ["m/s"], "low": [0.0], "high": [1.0]}),
        ("action", None),
        ("rate_hz", 1e-300),
        ("tolerance_s", -0.1),
        ("tolerance_s", float("inf")),
        ("max_age_s", float("inf")),
        ("max_age_s", 1e300),
        ("frame_id", 3),
    ],
)
def test_faulty_values_are_rejected(data, path, value):
    data[path] = value
    with pytest.raises(ConfigError, match=r"contract\.yaml"):
        contract_from_dict(data, "contract.yaml")


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("geometry_msgs/msg/WrenchStamped", 6),
        ("geometry_msgs/msg/TwistStamped", 6),
        ("std_msgs/msg/Float32MultiArray", 12),
        ("std_msgs/msg/Float64MultiArray", 3),
        ("std_msgs/msg/Float64", 1),
        ("std_msgs/msg/Bool", 1),
        ("std_msgs/msg/UInt16", 1),
    ],
)
def test_any_numeric_topic_is_state(data, kind, size):
    data["state"]["more"] = {"topic": "more", "type": kind, "size": size, "unit": "N"}
    assert contract_from_dict(data, "a").state_spec("more").type == kind
    data["state"]["more"] = {"topic": "more", "type": "std_msgs/msg/String", "size": 1, "unit": ""}
    with pytest.raises(ConfigError, match=r"state\.more\.type = 'std_msgs/msg/String' is not one of"):
        contract_from_dict(data, "a")


def test_an_invalid_topic_is_named_with_its_place(data):
    data["images"]["front"]["topic"] = "front camera/image_raw"
    data["state"]["ee_pose"]["topic"] = ""
    data["feedback"] = {"topic": "/1/twist", "type": "geometry_msgs/msg/TwistStamped"}
    with pytest.raises(ConfigError) as caught:
        contract_from_dict(data, "a")
    assert [fault.partition(" must")[0] for fault in caught.value.faults] == [
        "images.front.topic = 'front camera/image_raw'",
        "state.ee_pose.topic = ''",
        "feedback.topic = '/1/twist'",
    ]


def test_faults_of_an_image_name_their_place(data):
    data["images"]["front"] |= {"encoding": "yuv422", "type": "sensor_msgs/msg/PointCloud2", "rate_hz": -1}
    with pytest.raises(ConfigError) as caught:
        contract_from_dict(data, "a")
    for place in ("images.front.encoding = 'yuv422'", "images.front.type = ", "images.front.rate_hz = -1"):
        assert place in str(caught.value)
