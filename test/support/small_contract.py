"""A small robot's contract, whole or with sections of its own."""

from typing import Any


def contract_data(**sections: Any) -> dict[str, Any]:
    """Plain data of a contract: one 4 x 6 camera, a pose and a gripper at 10 Hz, or `sections` in their place."""
    return {
        "version": 1,
        "rate_hz": 10.0,
        "frame_id": "base",
        "tolerance_s": 0.02,
        "max_age_s": 0.5,
        "images": {"front": {"topic": "front/image_raw", "height": 4, "width": 6, "encoding": "rgb8"}},
        "state": {
            "ee_pose": {"topic": "ee_pose", "type": "geometry_msgs/msg/PoseStamped", "size": 7, "unit": "m"},
            "width": {
                "topic": "gripper/joint_states",
                "type": "sensor_msgs/msg/JointState",
                "field": "position",
                "joints": ["finger"],
                "size": 1,
                "unit": "m",
            },
        },
        "action": {"names": list("abcdefg"), "units": ["m/s"] * 7, "low": [-1.0] * 7, "high": [1.0] * 7},
        "limits": {
            "linear_speed": 1.0,
            "angular_speed": 10.0,
            "workspace_low": [-1.0, -1.0, 0.0],
            "workspace_high": [1.0, 1.0, 1.0],
        },
        **sections,
    }
