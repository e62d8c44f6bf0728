"""What every family promises to loading and to `apo policy`."""

import pytest

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.deployment import Deployment
from apo_vla.families.openvla.family import OpenVlaFamily
from apo_vla.families.pi0_fast.family import Pi0FastFamily
from apo_vla.loading import FAMILIES, load_checkpoint, read_deployment, read_family


def test_a_deployment_has_the_shared_parameters():
    for family in FAMILIES:
        assert family.deployment is None or issubclass(family.deployment, Deployment)


@pytest.mark.parametrize("folder", ["openvla_folder", "oft_folder", "pi0_folder"])
def test_a_loaded_model_names_what_it_can_do(request, folder):
    folder = request.getfixturevalue(folder)
    model = load_checkpoint(folder).model
    if model.capabilities.decodes_tokens:
        assert model.decoder is not None and callable(model.prefix_of_one)
    if model.capabilities.separate_cameras:
        assert callable(model.camera_tokens) and callable(model.join_features)


def test_facts_of_openvla_are_its_statistics(openvla_folder):
    deployment = read_deployment(openvla_folder)
    facts = OpenVlaFamily().facts(openvla_folder, load_checkpoint(openvla_folder), deployment)
    assert (facts.statistics, facts.chosen_statistics) == (("bridge_orig", "taco_play"), "bridge_orig")
    assert (facts.state, facts.notes) == ((), ())


def test_openvla_has_a_stand_in_without_a_deployment(openvla_copy):
    (openvla_copy / "deployment.yaml").unlink()
    deployment, note = read_family(openvla_copy).stand_in(openvla_copy)
    assert (deployment.cameras, deployment.statistics_key, deployment.chunk) == (("camera",), "bridge_orig", 1)
    assert note.startswith("no deployment.yaml")


def test_pi0_fast_has_no_stand_in(pi0_folder):
    with pytest.raises(CheckpointError, match=r"deployment.yaml is missing; .*shows one for pi0_fast"):
        Pi0FastFamily().stand_in(pi0_folder)
