import pytest
import yaml

CONTRACT = {
    "version": 1,
    "rate_hz": 5.0,
    "frame_id": "base",
    "tolerance_s": 0.05,
    "max_age_s": 1.0,
    "images": {"front": {"topic": "front", "height": 48, "width": 64, "encoding": "rgb8"}},
    "state": {
        "ee_pose": {"topic": "pose", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"},
        "gripper_width": {
            "topic": "gripper",
            "type": "sensor_msgs/msg/JointState",
            "field": "position",
            "joints": ["width"],
            "size": 1,
            "unit": "m",
        },
    },
    "action": {
        "names": ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"],
        "units": ["m/s"] * 3 + ["rad/s"] * 3 + ["-1 open .. 1 closed"],
        "low": [-1.0] * 7,
        "high": [1.0] * 7,
    },
    "limits": {
        "linear_speed": 1.0,
        "angular_speed": 1.0,
        "workspace_low": [-1.0, -1.0, 0.0],
        "workspace_high": [1.0, 1.0, 1.0],
    },
}


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(CONTRACT))
    return path
