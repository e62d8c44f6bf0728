import json

import h5py
import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict

CONTROLLER = {"type": "OSC_POSE", "control_delta": True, "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5]}
STEPS = 5


@pytest.fixture
def contract(small_contract):
    """Robosuite's rate and full scale."""
    data = small_contract.as_dict()
    data["rate_hz"] = 20.0
    data["action"]["low"] = [-1, -1, -1, -10, -10, -10, -1]
    data["action"]["high"] = [1, 1, 1, 10, 10, 10, 1]
    data["state"]["gripper_width"] = data["state"].pop("width")
    return contract_from_dict(data, "contract.yaml")


@pytest.fixture
def make_file(tmp_path):
    """(edit) -> robomimic file with two demonstrations; `edit(file)` may change it before it is closed."""

    def make(edit=None, env_kwargs=None, shape=(4, 6, 3)):
        path = tmp_path / "demo_v141.hdf5"
        rng = np.random.default_rng(0)
        with h5py.File(path, "w") as f:
            kwargs = {"control_freq": 20, "controller_configs": CONTROLLER, **(env_kwargs or {})}
            env = {"env_name": "Lift", "type": 1, "env_kwargs": kwargs, "env_version": "1.4.1"}
            f.create_group("data").attrs["env_args"] = json.dumps(env)
            for name in ("demo_0", "demo_10"):
                demo = f.create_group(f"data/{name}")
                demo.attrs["num_samples"] = STEPS
                demo["actions"] = rng.uniform(-1, 1, (STEPS, 7))
                demo["rewards"] = np.arange(STEPS) == STEPS - 1
                demo["obs/robot0_eef_pos"] = rng.random((STEPS, 3))
                demo["obs/robot0_eef_quat"] = np.tile([0.0, 0.6, 0, 0.8], (STEPS, 1))
                demo["obs/robot0_gripper_qpos"] = np.tile([0.03, -0.02], (STEPS, 1))
                demo["obs/front_image"] = rng.integers(1, 256, (STEPS, *shape), np.uint8)
            f["mask/train"] = np.array(["demo_10"], dtype="S")
            if edit:
                edit(f)
        return path

    return make
