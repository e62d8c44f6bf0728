"""Parameters of the perturbations: what they rule out, and what they change."""

import pytest

from apo_core.config.parameters import build, parameter_fields
from apo_core.errors import ConfigError
from apo_sim_bridge.perturbation.settings import (
    PERTURBATION_GROUPS,
    DynamicsPerturbation,
    LightPerturbation,
    Perturbation,
    ScenePerturbation,
    StreamPerturbation,
)


def test_without_arguments_nothing_changes():
    usual = Perturbation()
    assert (usual.changes, usual.text, usual.suffix) == ({}, "", "")
    assert not usual.streams.holds_frames_back and not usual.streams.holds_commands_back


def test_groups_have_all_parameters():
    names = [name for config in PERTURBATION_GROUPS for name in parameter_fields(config)]
    assert names == list(parameter_fields(Perturbation))


def test_changes_are_listed_by_parameter():
    changed = build(Perturbation, {"texture": "grey_table", "light_intensity": [0.5, 1]}, "sim_bridge.yaml")
    assert changed == Perturbation(
        scene=ScenePerturbation(texture="grey_table"), light=LightPerturbation(light_intensity=(0.5, 1.0))
    )
    assert changed.changes == {"texture": "grey_table", "light_intensity": (0.5, 1.0)}
    assert changed.text == '{"light_intensity": [0.5, 1.0], "texture": "grey_table"}'
    assert len(changed.suffix) == 9 and changed.suffix != Perturbation(scene=ScenePerturbation(distractors=1)).suffix


def test_every_fault_of_every_group_is_listed():
    values = {"distractors": 6, "light_intensity": [0.9, 0.1], "mass_scale": [0.0, 1.0], "frame_drop_probability": 1.5}
    with pytest.raises(ConfigError) as caught:
        build(Perturbation, values, "sim_bridge.yaml")
    assert caught.value.source == "sim_bridge.yaml"
    assert caught.value.faults == [
        "distractors = 6 is above its limit 5",
        "mass_scale = [0.0, 1.0] is below its limit 0.1",
        "frame_drop_probability = 1.5 is above its limit 1.0",
    ]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: LightPerturbation(light_intensity=(0.9, 0.1)), r"light_intensity = \(0.9, 0.1\) must be \(low, hi"),
        (lambda: DynamicsPerturbation(friction_scale=(2.0, 1.0)), "friction_scale"),
        (lambda: StreamPerturbation(observation_delay_steps=(3, 1)), "observation_delay_steps"),
        (lambda: StreamPerturbation(frame_drop_burst=(0, 1)), "frame_drop_burst .* below its limit 1"),
        (lambda: ScenePerturbation(background="moon"), "background = 'moon' is not one of"),
    ],
)
def test_what_is_made_in_code_is_checked_too(make, fault):
    with pytest.raises(ConfigError, match=fault) as caught:
        make()
    assert "config/sim_bridge.yaml" in caught.value.source


@pytest.mark.parametrize(
    ("task", "values", "fault"),
    [
        ("Stack", {"position_range_scale": 3.0}, r"position_range_scale = 3.0 must be in \[0.6, 2.5\] for task "),
        ("Lift", {"target_range_scale": 0.5}, "target_range_scale = 0.5 must be 0 for task 'Lift'"),
        ("Lift", {"moved_cameras": ["front"], "camera_offset_range_m": 0.1}, r"moved_cameras: \['front'\] are"),
    ],
)
def test_what_a_task_or_contract_lacks_is_a_fault(task, values, fault):
    faults = build(Perturbation, values, "sim_bridge.yaml").faults(task, ("agentview", "wrist"))
    assert len(faults) == 1
    with pytest.raises(ConfigError, match=fault):
        raise ConfigError("sim_bridge.yaml", faults)


def test_what_fits_has_no_fault():
    moved = build(Perturbation, {"target_range_scale": 1.0, "position_range_scale": 1.5}, "sim_bridge.yaml")
    assert moved.faults("NutAssemblySquare", ("agentview",)) == []
    # a contract without the default camera is no fault where no camera moves
    assert Perturbation().faults("Lift", ("front",)) == []


def test_demonstrations_leave_the_streams_out():
    late = build(Perturbation, {"distractors": 2, "action_delay_steps": [1, 2]}, "sim_bridge.yaml")
    assert late.still == Perturbation(scene=ScenePerturbation(distractors=2))
