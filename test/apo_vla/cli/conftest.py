import pytest
import yaml
from small_contract import contract_data

PLAIN = contract_data()
CONTRACT = contract_data(
    rate_hz=5.0,
    images={"front": {"topic": "front", "height": 48, "width": 64, "encoding": "rgb8"}},
    state={"ee_pose": PLAIN["state"]["ee_pose"], "gripper_width": PLAIN["state"]["width"]},
    action={
        **PLAIN["action"],
        "names": ["vx", "vy", "vz", "wx", "wy", "wz", "gripper"],
        "units": ["m/s"] * 3 + ["rad/s"] * 3 + ["-1 open .. 1 closed"],
    },
)


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump(CONTRACT))
    return path
