"""What every family promises to loading and to `apo policy`."""

from dataclasses import fields

import pytest

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.deployment import Deployment
from apo_vla.checkpoints.family import CheckpointFacts, Family
from apo_vla.loading import FAMILIES, load_checkpoint


class Plain(Family[Deployment]):
    """A family with nothing of its own."""

    name, title, deployment = "plain", "Plain", Deployment

    def load(self, folder, device, dtype, deployment):
        raise NotImplementedError

    def facts(self, folder, checkpoint, deployment):
        return CheckpointFacts(deployment.state)


def test_a_family_has_no_stand_in_and_no_checks_by_default(tmp_path):
    deployment = Deployment(cameras=("front",))
    with pytest.raises(CheckpointError, match=r"deployment.yaml is missing; .*shows one for plain"):
        Plain().stand_in(tmp_path)
    assert Plain().binding_faults(tmp_path, deployment, ()) == []
    assert Plain().bind(tmp_path, deployment, None) is deployment


def test_every_deployment_has_the_shared_parameters():
    shared = [spec.name for spec in fields(Deployment)]
    for family in FAMILIES:
        if family.deployment is not None:
            assert issubclass(family.deployment, Deployment)
            assert [spec.name for spec in fields(family.deployment)][: len(shared)] == shared


@pytest.mark.parametrize("folder", ["openvla_folder", "oft_folder", "pi0_folder"])
def test_a_loaded_model_has_what_its_capabilities_promise(request, folder):
    model = load_checkpoint(request.getfixturevalue(folder)).model
    if model.capabilities.decodes_tokens:
        assert model.decoder is not None and callable(model.prefix_of_one)
    if model.capabilities.separate_cameras:
        assert callable(model.camera_tokens) and callable(model.join_features)
