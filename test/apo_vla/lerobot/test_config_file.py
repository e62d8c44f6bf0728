import pytest

from apo_core.errors import CheckpointError
from apo_vla.lerobot.config_file import camera_faults, camera_features, camera_notes, setting_faults, whole_number

SETTINGS = {
    "input_features": {
        "front": {"type": "VISUAL"},
        "state": {"type": "STATE"},
        "x.empty_camera_0": {"type": "VISUAL"},
        "wrist": {"type": "VISUAL"},
    }
}


def test_cameras_are_the_visual_features_in_their_order():
    assert camera_features(SETTINGS) == ["front", "wrist"]
    assert camera_features({}) == camera_features({"input_features": ["front"]}) == []


@pytest.mark.parametrize(
    ("cameras", "fault"),
    [((), "cameras is empty"), (("a", "b", "c"), "are 3, the model takes 2"), (("a", "b"), ""), (("a",), "")],
)
def test_a_model_takes_at_least_one_and_at_most_its_cameras(cameras, fault):
    faults = camera_faults(cameras, SETTINGS)
    assert fault in faults[0] if fault else faults == []


def test_a_camera_of_the_training_that_is_missing_is_noted():
    assert camera_notes(["a", "b"], SETTINGS) == []
    assert camera_notes(["a"], SETTINGS)[0].endswith("stand for front; the model was also trained with wrist")


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "4", None])
def test_a_number_that_is_none_is_rejected_by_name(tmp_path, value):
    with pytest.raises(CheckpointError, match=r"config.json: chunk_size = .* must be a whole number of at least 1"):
        whole_number({"chunk_size": value}, "chunk_size", 50, tmp_path / "config.json")


def test_a_number_that_is_missing_has_its_default(tmp_path):
    assert whole_number({}, "chunk_size", 50, tmp_path) == 50
    assert whole_number({"chunk_size": 10}, "chunk_size", 50, tmp_path) == 10


def test_a_setting_that_is_not_served_is_a_fault(tmp_path):
    served = {"use_visual_memory": False, "num_expert_layers": -1}
    settings = {"num_expert_layers": -1, "other": 3, "use_peft": False, "use_visual_memory": None}
    assert setting_faults(tmp_path, settings, served) == []
    assert setting_faults(tmp_path, {"use_visual_memory": True}, served) == [
        "config.json: use_visual_memory = True is not supported, must be False"
    ]


@pytest.mark.parametrize("name", ["use_relative_actions", "adapt_to_pi_aloha", "use_delta_joint_actions_aloha"])
def test_another_space_of_actions_is_a_fault_in_every_family(tmp_path, name):
    assert setting_faults(tmp_path, {name: False}, {}) == []
    assert setting_faults(tmp_path, {name: True}, {}) == [f"config.json: {name} = True is not supported, must be False"]


def test_an_adapter_beside_the_weights_is_a_fault(tmp_path):
    (fault,) = setting_faults(tmp_path, {"use_peft": True}, {})
    assert fault.startswith("adapter_config.json or use_peft (config.json): an adapter beside the weights would not be")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert setting_faults(tmp_path, {}, {}) == [fault]
