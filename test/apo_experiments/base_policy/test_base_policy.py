"""The program behind `apo base-policy`, and the checkpoint it made that is shipped."""

from pathlib import Path

import numpy as np
import pytest

from apo_core.config.parameters import load
from apo_core.contract.contract import load_contract
from apo_core.errors import ConfigError
from apo_core.types import Observation
from apo_experiments.base_policy.base_policy import BasePolicyConfig, main
from apo_vla.checkpoints.types import HASHED_FILES, MANIFEST, read_manifest
from apo_vla.policy import VlaPolicy

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "models" / "lift_base"
FLOW = ROOT / "models" / "lift_flow"
# what a recipe has in place of the shipped parameters
RECIPES = {SHIPPED: {}, FLOW: {"head": "flow", "episodes": 3, "steps": 500, "evaluate_every": 100, "threads": 1}}
each_shipped = pytest.mark.parametrize("folder", RECIPES, ids=lambda folder: folder.name)


@pytest.fixture(scope="module")
def shipped() -> VlaPolicy:
    return VlaPolicy.load(SHIPPED)


def test_the_shipped_checkpoints_are_small():
    sizes = [(folder / name).stat().st_size for folder in RECIPES for name in (*HASHED_FILES, MANIFEST)]
    assert sum(sizes) <= 15_000_000


@each_shipped
def test_a_shipped_checkpoint_is_whole(folder):
    manifest = read_manifest(folder)  # checks the hashes
    assert manifest["task"] == "Lift" and manifest["instruction"] == "lift the red cube"


@each_shipped
def test_a_shipped_checkpoint_states_its_measured_success(folder):
    evaluation = read_manifest(folder)["evaluation"]
    assert evaluation["n"] >= 100
    assert evaluation["success_rate"] == evaluation["successes"] / evaluation["n"]
    # good enough to deploy, bad enough to need its operator
    assert 0.3 <= evaluation["success_rate"] <= 0.7
    assert evaluation["ci95"][0] < evaluation["success_rate"] < evaluation["ci95"][1]


@each_shipped
def test_a_shipped_checkpoint_was_made_with_the_shipped_recipe(folder):
    recipe = read_manifest(folder)["recipe"]
    config = load(BasePolicyConfig, ROOT / "config" / "base_policy.yaml", "base_policy", RECIPES[folder])
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in recipe.items()} == {
        name: list(value) if isinstance(value := getattr(config, name), tuple) else value for name in recipe
    }


def test_the_shipped_flow_policy_has_the_vision_of_the_other():
    assert read_manifest(FLOW)["vision"]["sha256"] == read_manifest(SHIPPED)["sha256"]["model.safetensors"]


def test_a_base_policy_goes_to_the_folder_of_its_task():
    assert BasePolicyConfig().output == "models/lift_base"
    assert BasePolicyConfig(task="Stack").output == "models/stack_base"
    assert BasePolicyConfig(task="Stack", output="elsewhere").output == "elsewhere"


def test_what_is_not_given_is_the_recipe_of_the_task():
    lift = BasePolicyConfig()
    assert (lift.episodes, lift.vision_scenes, lift.vision_steps, lift.steps) == (8, 300, 1500, 350)
    assert (lift.evaluate_every, lift.mlp, lift.weights) == (50, 384, "float16")
    other = BasePolicyConfig(episodes=3, vision_scenes=0, steps=7, weights="int8")
    assert (other.episodes, other.vision_scenes, other.vision_steps, other.steps) == (3, 0, 1500, 7)
    assert other.weights == "int8"


def test_vision_needs_a_scene_to_measure_on():
    assert BasePolicyConfig(vision_scenes=0).vision_scenes == 0
    assert BasePolicyConfig(vision_scenes=10).vision_scenes == 10
    with pytest.raises(ConfigError, match=r"vision_scenes = 9 must be 0 or at least 10.*config/base_policy.yaml"):
        BasePolicyConfig(vision_scenes=9)


@each_shipped
def test_a_shipped_checkpoint_fits_the_contract_and_acts(folder):
    shipped = VlaPolicy.load(folder)
    contract = load_contract(ROOT / "config" / "contract.yaml")
    assert shipped.contract_sha256 == contract.sha256
    rng = np.random.default_rng(0)
    images = {s.name: rng.integers(0, 255, (s.height, s.width, 3), dtype=np.uint8) for s in contract.images}
    state = {s.name: np.zeros(s.size, dtype=np.float32) for s in contract.state}
    chunk = shipped.predict(Observation(1, images, state, "lift the red cube"))
    assert chunk.values.shape == (4, 7) and chunk.period_ns == contract.period_ns
    assert np.isfinite(chunk.values).all()
    assert folder == FLOW or np.isfinite(chunk.log_probs).all()
    assert (chunk.values >= contract.action.low).all() and (chunk.values <= contract.action.high).all()


def test_the_shipped_policy_looks_at_both_cameras_and_reads_its_prompt(shipped):
    contract = load_contract(ROOT / "config" / "contract.yaml")
    images = {s.name: np.full((s.height, s.width, 3), 90, np.uint8) for s in contract.images}
    state = {s.name: np.zeros(s.size, dtype=np.float32) for s in contract.state}
    base = shipped.predict(Observation(1, images, state, "lift the red cube")).log_probs
    for name in images:
        changed = {**images, name: 255 - images[name]}
        other = shipped.predict(Observation(1, changed, state, "lift the red cube")).log_probs
        assert np.abs(other - base).max() > 1e-3
    assert np.abs(shipped.predict(Observation(1, images, state, "push the cube")).log_probs - base).max() > 1e-4


def test_faults_in_the_settings_are_reported(tmp_path, capsys):
    config = tmp_path / "base_policy.yaml"
    config.write_text("base_policy:\n  ros__parameters:\n    batch_size: 0\n    chunks: 4\n")
    assert main(["--config", str(config)]) == 2
    message = capsys.readouterr().err
    assert "batch_size = 0 is below its limit 1" in message and "chunks is not a parameter" in message


def test_a_checkpoint_is_not_overwritten_unless_that_is_wanted(tmp_path, capsys):
    settings = [f"output={SHIPPED}", f"contract_file={ROOT / 'config' / 'contract.yaml'}"]
    before = (SHIPPED / "manifest.json").read_bytes()
    assert main(["--config", str(ROOT / "config" / "base_policy.yaml"), "--set", *settings]) == 2
    assert "holds a checkpoint: name another folder, or set overwrite" in capsys.readouterr().err
    assert (SHIPPED / "manifest.json").read_bytes() == before


def test_nothing_is_left_that_would_hide_the_shipped_policy(tmp_path, capsys):
    contract = f"contract_file={ROOT / 'config' / 'contract.yaml'}"
    (tmp_path / "file").write_text("")
    paths = [f"output={tmp_path / 'models' / 'lift_base'}", f"demonstrations={tmp_path / 'file'}"]
    assert main(["--config", str(ROOT / "config" / "base_policy.yaml"), "--set", contract, *paths]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_output_that_is_no_folder_is_reported_before_anything_is_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    paths = [f"output={tmp_path / 'file'}", f"demonstrations={tmp_path / 'demonstrations'}"]
    contract = f"contract_file={ROOT / 'config' / 'contract.yaml'}"
    assert main(["--config", str(ROOT / "config" / "base_policy.yaml"), "--set", contract, *paths]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
