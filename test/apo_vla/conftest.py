import shutil
from pathlib import Path

import numpy as np
import published_checkpoints
import published_flows
import pytest
import torch

from apo_core.types import Observation
from apo_vla.checkpoints.statistics import compute_statistics
from apo_vla.families.small_vla.model import SmallVla, SmallVlaConfig
from apo_vla.inputs.prompt import build_tokenizer
from apo_vla.policy import VlaPolicy

torch.set_num_threads(1)

TINY = SmallVlaConfig(
    state_keys=("ee_pose", "gripper_width"),
    state_size=8,
    chunk=2,
    image_size=32,
    image_channels=(8, 8, 16),
    prompt_length=12,
    prompt_vocabulary=32,
    hidden=32,
    layers=2,
    heads=2,
    mlp=64,
)
INSTRUCTIONS = ("lift the red cube", "stack the red cube on the green cube")


@pytest.fixture
def tiny_model() -> SmallVla:
    torch.manual_seed(0)
    model = SmallVla(TINY)
    with torch.no_grad():
        for value in model.parameters():  # far from the small initial values, so that differences show
            if value.ndim >= 2:
                value.mul_(3.0)
    return model.eval()


@pytest.fixture
def tiny_statistics():
    rng = np.random.default_rng(0)
    states = {"ee_pose": rng.normal(size=(50, 7)), "gripper_width": rng.normal(size=(50, 1))}
    return compute_statistics(rng.normal(size=(50, 7)), states, [True] * 6 + [False], "c0ffee")


@pytest.fixture
def tiny_tokenizer():
    return build_tokenizer(INSTRUCTIONS)


@pytest.fixture
def tiny_policy(tiny_model, tiny_statistics, tiny_tokenizer):
    def make(lora=None) -> VlaPolicy:
        return VlaPolicy(tiny_model, tiny_tokenizer, tiny_statistics, "base", "statistics", lora)

    return make


@pytest.fixture
def observation():
    def make(seed: int = 0, instruction: str = INSTRUCTIONS[0]) -> Observation:
        rng = np.random.default_rng(seed)
        images = {name: rng.integers(0, 255, (84, 84, 3), dtype=np.uint8) for name in TINY.cameras}
        state = {"ee_pose": rng.normal(size=7), "gripper_width": rng.normal(size=1)}
        state = {key: value.astype(np.float32) for key, value in state.items()}
        return Observation(1_000 + seed, images, state, instruction)

    return make


@pytest.fixture(scope="session")
def openvla_folder(tmp_path_factory) -> Path:
    """A small checkpoint as openvla/openvla-7b; not to be changed."""
    return published_checkpoints.make_openvla(tmp_path_factory.mktemp("openvla"))


@pytest.fixture
def openvla_copy(openvla_folder, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(openvla_folder, tmp_path / "openvla"))


@pytest.fixture(scope="session")
def oft_folder(tmp_path_factory) -> Path:
    """A small checkpoint as OpenVLA-OFT's of LIBERO; not to be changed."""
    return published_checkpoints.make_openvla_oft(tmp_path_factory.mktemp("oft"))


@pytest.fixture
def oft_copy(oft_folder, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(oft_folder, tmp_path / "oft"))


@pytest.fixture(scope="session")
def pi0_folder(tmp_path_factory) -> Path:
    """A small checkpoint as lerobot's pi0-FAST; not to be changed."""
    return published_checkpoints.make_pi0_fast(tmp_path_factory.mktemp("pi0"))


@pytest.fixture
def pi0_copy(pi0_folder, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(pi0_folder, tmp_path / "pi0"))


@pytest.fixture(scope="session")
def flow_folder(tmp_path_factory):
    """Small checkpoints as LeRobot's smolvla, pi0 and pi05, by their `type`; not to be changed."""
    root = tmp_path_factory.mktemp("flows")

    def make(kind: str) -> Path:
        folder = root / kind
        return folder if folder.exists() else getattr(published_flows, f"make_{kind}")(folder)

    return make


@pytest.fixture
def flow_copy(flow_folder, tmp_path):
    """A copy to change."""
    return lambda kind: Path(shutil.copytree(flow_folder(kind), tmp_path / kind))
