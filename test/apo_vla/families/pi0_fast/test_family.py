import dataclasses

import pytest

from apo_core.errors import CheckpointError
from apo_vla.families.pi0_fast.family import Pi0FastFamily
from apo_vla.loading import load_checkpoint, read_deployment


def test_facts_are_its_state(pi0_folder):
    deployment = read_deployment(pi0_folder)
    facts = Pi0FastFamily().facts(pi0_folder, load_checkpoint(pi0_folder), deployment)
    assert (facts.state, facts.statistics, facts.notes) == (deployment.state, (), ())


def test_there_is_no_stand_in(pi0_folder):
    with pytest.raises(CheckpointError, match=r"deployment.yaml is missing; .*shows one for pi0_fast"):
        Pi0FastFamily().stand_in(pi0_folder)


def test_a_chunk_is_not_bound(pi0_folder):
    deployment = read_deployment(pi0_folder)
    assert Pi0FastFamily().binding_faults(pi0_folder, dataclasses.replace(deployment, chunk=1), ()) == []
    faults = Pi0FastFamily().binding_faults(pi0_folder, dataclasses.replace(deployment, chunk=3, cameras=()), ())
    assert faults == ["chunk = 3 cannot be used with pi0-FAST: leave it out", "cameras is empty"]
