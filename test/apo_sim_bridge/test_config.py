import dataclasses
from pathlib import Path

import pytest

from apo_core.config.parameters import load
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.perturbation.settings import Perturbation, ScenePerturbation

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def contract():
    return load_contract(CONFIG / "contract.yaml")


def test_shipped_file_has_the_defaults():
    assert load(SimBridgeConfig, CONFIG / "sim_bridge.yaml", "sim_bridge") == SimBridgeConfig()


def test_simulation_follows_the_contract(contract):
    wood = Perturbation(scene=ScenePerturbation(texture="wood_table"))
    config = sim_config(SimBridgeConfig(task="Stack", horizon=7, perturbation=wood), contract)
    assert (config.task, config.horizon, config.perturbation, config.rate_hz) == ("Stack", 7, wood, 20.0)
    assert (config.camera_height, config.camera_width) == (84, 84)
    assert config.cameras == {"agentview": "agentview", "wrist": "robot0_eye_in_hand"}


def test_every_misfit_is_listed(contract):
    first, second = contract.images
    odd = dataclasses.replace(
        contract, images=(dataclasses.replace(first, height=96), dataclasses.replace(second, encoding="bgr8"))
    )
    with pytest.raises(ConfigError) as caught:
        sim_config(SimBridgeConfig(cameras=("agentview=agentview",)), odd)
    assert len(caught.value.faults) == 3


def test_perturbation_out_of_reach_is_rejected(contract):
    wide = Perturbation(scene=ScenePerturbation(position_range_scale=6.0))
    with pytest.raises(ConfigError, match="position_range_scale"):
        sim_config(SimBridgeConfig(task="Stack", perturbation=wide), contract)
