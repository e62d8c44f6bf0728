"""Pictures of random scenes, made by the real simulation and kept."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from apo_core.contract.contract import load_contract
from apo_sim_bridge.demonstrations.scene_views import SceneViewSettings, ensure_scene_views, view_targets
from apo_sim_bridge.sim.env import SimFrame

CONTRACT = load_contract(Path(__file__).parents[3] / "config" / "contract.yaml")
SETTINGS = SceneViewSettings("Lift", 2, 610_000, ("agentview", "wrist"), ("ee_pose", "gripper_width"))


def frame(cube_yaw: float, width: float = 0.08) -> SimFrame:
    """The hand 10 cm above and 4 cm beside the cube, pointing down, its fingers along y."""
    half = cube_yaw / 2
    return SimFrame(
        images={},
        joint_names=("joint1",) * 7,
        joint_positions=np.zeros(7),
        joint_velocities=np.zeros(7),
        ee_position=np.array([0.04, 0.0, 0.92]),
        ee_quaternion=np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]),
        gripper_width=width,
        objects={"cube": np.array([0.0, 0.0, 0.82, 0.0, 0.0, np.sin(half), np.cos(half)])},
        success=False,
        truncated=False,
        step=0,
    )


def test_targets_are_the_way_of_the_hand_and_the_object_in_units_of_4_cm():
    np.testing.assert_allclose(view_targets("Lift", frame(0.0))[:6], [-1.0, 0.0, -2.5, 0.0, 0.0, 2.5], atol=1e-6)


def test_a_cube_repeats_every_quarter_turn():
    quarter = view_targets("Lift", frame(np.pi / 2))
    np.testing.assert_allclose(quarter[6:8], view_targets("Lift", frame(0.0))[6:8], atol=1e-6)
    half = view_targets("Lift", frame(np.pi / 4))
    np.testing.assert_allclose(half[6:8], -quarter[6:8], atol=1e-6)


def test_a_task_without_an_expert_has_none():
    with pytest.raises(ValueError, match="Juggle"):
        view_targets("Juggle", frame(0.0))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, list[str]]:
    path, lines = tmp_path_factory.mktemp("views") / "lift", []
    ensure_scene_views(SETTINGS, path, CONTRACT, lines.append, workers=1)
    return path, lines


def test_every_scene_is_seen_by_every_camera(made):
    path, lines = made
    views = ensure_scene_views(SETTINGS, path, CONTRACT, lines.append)
    assert lines == ["pictures of random scenes: 1/2", "pictures of random scenes: 2/2"]  # the second call made none
    assert views.images["wrist"].shape == (44, 84, 84, 3) and views.images["wrist"].dtype == np.uint8
    assert views.states["ee_pose"].shape == (44, 7) and views.targets.shape == (44, 9)
    assert views.scenes.tolist() == [610_000] * 22 + [610_001] * 22
    # the expert comes near in spite of the noise
    distances = np.linalg.norm(views.targets[:, :3], axis=1).reshape(2, 22)
    assert (distances.min(axis=1) < distances[:, 0] / 2).all()
    assert len(np.unique(views.images["agentview"].reshape(44, -1), axis=0)) > 40


def final_turn_deg(tmp_path: Path, mistaken_share: float) -> float:
    """Turn that is left between hand and cube at the end of scene 610003."""
    settings = dataclasses.replace(SETTINGS, scenes=1, seed=610_003, mistaken_share=mistaken_share)
    views = ensure_scene_views(settings, tmp_path / f"{mistaken_share}", CONTRACT, lambda line: None, workers=1)
    return np.degrees(np.arctan2(views.targets[-1, 7], views.targets[-1, 6]) / 4)


def test_an_expert_that_mistakes_the_yaw_ends_beside_it(tmp_path):
    assert abs(final_turn_deg(tmp_path, 0.0)) < 5.0
    assert abs(final_turn_deg(tmp_path, 1.0)) > 10.0


@pytest.fixture
def copy(made, tmp_path) -> Path:
    """A folder with the views that were made."""
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


@pytest.mark.parametrize("changes", [{"seed": 610_002}, {"position_range_scale": 1.0}])
def test_other_settings_make_other_views(copy, changes):
    lines = []
    settings = dataclasses.replace(SETTINGS, scenes=1, **changes)
    views = ensure_scene_views(settings, copy, CONTRACT, lines.append, workers=1)
    assert len(lines) == 1 and len(views.scenes) == 22


def test_a_truncated_file_is_made_anew(made, copy):
    file = copy / "610000.npz"
    file.write_bytes(file.read_bytes()[:1000])
    lines = []
    again = ensure_scene_views(SETTINGS, copy, CONTRACT, lines.append, workers=1)
    known = ensure_scene_views(SETTINGS, made[0], CONTRACT, lines.append)
    assert len(lines) == 2
    np.testing.assert_array_equal(again.targets, known.targets)
    np.testing.assert_array_equal(again.images["wrist"], known.images["wrist"])


def test_files_that_are_there_are_kept_when_more_scenes_are_wanted(made, copy, monkeypatch):
    monkeypatch.setattr("apo_sim_bridge.demonstrations.scene_views._SCENES_OF_A_FILE", 2)
    lines = []
    more = ensure_scene_views(dataclasses.replace(SETTINGS, scenes=3), copy, CONTRACT, lines.append, workers=1)
    assert lines == ["pictures of random scenes: 3/3"]
    assert sorted(file.name for file in copy.iterdir()) == ["610000.npz", "610002.npz"]
    assert more.scenes.tolist() == [610_000] * 22 + [610_001] * 22 + [610_002] * 22
