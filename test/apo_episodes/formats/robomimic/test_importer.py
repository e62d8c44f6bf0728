from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict, load_contract
from apo_core.errors import EpisodeToolError
from apo_core.orientation import oriented
from apo_core.types import ControlSource, EpisodeKind, Outcome
from apo_episodes.files import read_all
from apo_episodes.formats.released_apo import ApoOptions, export_apo
from apo_episodes.formats.robomimic.export import RobomimicOptions, export_robomimic
from apo_episodes.formats.robomimic.importer import RobomimicImport, import_robomimic
from apo_episodes.inspection.validate import validate
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode

OPTIONS = RobomimicImport(instruction="lift the cube", created_utc="2026-01-02T03:04:05+00:00")
CONTROLLER = {"type": "OSC_POSE", "control_delta": True, "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5]}
STEPS = 5


def test_demonstrations_become_episodes(make_file, contract, tmp_path):
    path = make_file()
    written = import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    assert [one.name for one in written] == ["demo_v141-demo_0.h5", "demo_v141-demo_10.h5"]
    assert [validate(one).faults for one in written] == [[], []]
    episode = read_episode(written[1])
    assert (episode.info.kind, episode.info.task, episode.info.operator) == (
        EpisodeKind.DEMONSTRATION,
        "Lift",
        "demonstrator",
    )
    assert episode.info.tags == {"imported_from": "demo_v141.hdf5", "demo": "demo_10"}
    assert episode.outcome.outcome == Outcome.SUCCESS
    assert set(episode.sources) == {ControlSource.HUMAN}
    assert np.diff(episode.stamps_ns["observation"]).tolist() == [50_000_000] * (STEPS - 1)
    with h5py.File(path) as f:
        demo = f["data/demo_10"]
        np.testing.assert_array_equal(episode.images["front"], demo["obs/front_image"])
        pose = np.concatenate([demo["obs/robot0_eef_pos"], demo["obs/robot0_eef_quat"]], axis=1)
        np.testing.assert_allclose(episode.state["ee_pose"], pose, rtol=1e-6)
        # 0.05 m and 0.5 rad a tick at 20 Hz
        expected = demo["actions"][()] * [1, 1, 1, 10, 10, 10, 1]
    np.testing.assert_allclose(episode.human_actions, expected, rtol=1e-6)
    np.testing.assert_array_equal(episode.executed_actions, episode.human_actions)
    np.testing.assert_allclose(episode.state["gripper_width"], 0.05, rtol=1e-6)


def test_the_scale_is_that_of_the_controller(make_file, contract, tmp_path):
    small = {"controller_configs": {**CONTROLLER, "output_max": [0.02] * 3 + [0.1] * 3}}
    (first, _) = import_robomimic(make_file(env_kwargs=small), tmp_path / "out", contract, OPTIONS)
    with h5py.File(tmp_path / "demo_v141.hdf5") as f:
        expected = f["data/demo_0/actions"][()] * np.array([0.4, 0.4, 0.4, 2, 2, 2, 1])
    np.testing.assert_allclose(read_episode(first).human_actions, expected, rtol=1e-6)


def test_robosuite_1_5_puts_the_arm_into_body_parts(make_file, contract, tmp_path):
    composite = {"type": "BASIC", "body_parts": {"right": {**CONTROLLER, "output_max": 0.025}}}
    path = make_file(env_kwargs={"controller_configs": composite})
    (first, _) = import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    with h5py.File(path) as f:
        expected = f["data/demo_0/actions"][()] * np.array([0.5] * 6 + [1])
    np.testing.assert_allclose(read_episode(first).human_actions, expected, rtol=1e-6)


def test_options_win_over_the_file(make_file, contract, tmp_path):
    options = replace(
        OPTIONS, position_step_m=0.01, rotation_step_rad=0.1, gripper_sign=-1, mask="train", prefix="lab", task="Pick"
    )
    path = make_file()
    (only,) = import_robomimic(path, tmp_path / "out", contract, options)
    assert only.name == "lab-demo_10.h5"
    with h5py.File(path) as f:
        expected = f["data/demo_10/actions"][()] * np.array([0.2] * 3 + [2] * 3 + [-1])
    episode = read_episode(only)
    np.testing.assert_allclose(episode.human_actions, expected, rtol=1e-6)
    assert episode.info.task == "Pick"


@pytest.mark.parametrize("turn", ["rotate_180", "mirror", "flip_vertical"])
def test_images_of_a_camera_are_turned(make_file, contract, tmp_path, turn):
    path = make_file()
    (first, _) = import_robomimic(path, tmp_path / "out", contract, replace(OPTIONS, orientation={"front": turn}))
    with h5py.File(path) as f:
        frames = f["data/demo_0/obs/front_image"][()]
    expected = [oriented(frame, turn) for frame in frames]
    np.testing.assert_array_equal(read_episode(first).images["front"], expected)


def test_a_part_of_the_images_is_taken_and_blue_may_come_first(make_file, contract, tmp_path):
    path = make_file(shape=(8, 6, 3))
    options = replace(OPTIONS, crop={"front": "0.5,0,0.5,1"}, orientation={"front": "mirror"}, channel_order="bgr")
    (first, _) = import_robomimic(path, tmp_path / "out", contract, options)
    with h5py.File(path) as f:
        frames = f["data/demo_0/obs/front_image"][()]
    np.testing.assert_array_equal(read_episode(first).images["front"], frames[:, 4:, ::-1, ::-1])


def test_a_crop_must_be_known_and_of_a_camera(make_file, contract, tmp_path):
    options = replace(OPTIONS, crop={"front": "0,80,480,480", "rear": "square"})
    with pytest.raises(
        EpisodeToolError, match=r"--crop rear: not in the contract.*--crop front: '0,80,480,480' is none"
    ):
        import_robomimic(make_file(), tmp_path / "out", contract, options)


def test_an_orientation_must_be_known_and_of_a_camera(make_file, contract, tmp_path):
    options = replace(OPTIONS, orientation={"front": "left", "rear": "mirror"})
    with pytest.raises(
        EpisodeToolError, match=r"--orientation rear: not in the contract.*--orientation front=left: is"
    ):
        import_robomimic(make_file(), tmp_path / "out", contract, options)


def test_every_missing_key_is_listed_with_the_option_for_it(make_file, contract, tmp_path):
    def edit(f):
        del f["data/demo_10/obs/robot0_eef_quat"], f["data/demo_10/obs/front_image"], f["data/demo_10/actions"]

    with pytest.raises(EpisodeToolError) as caught:
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("demo_10 lacks, for the contract contract.yaml:")
    assert lines[1:4] == [
        "  - obs/robot0_eef_quat for state 'ee_pose' (--state ee_pose=...)",
        "  - obs/front_image for camera 'front' (--camera front=...)",
        "  - actions",
    ]
    assert "it has robot0_eef_pos, robot0_gripper_qpos" in lines[4]
    assert not (tmp_path / "out").exists()


def test_a_file_without_observations_names_how_to_make_them(make_file, contract, tmp_path):
    def edit(f):
        for demo in f["data"].values():
            del demo["obs"]

    with pytest.raises(EpisodeToolError, match=r"dataset_states_to_obs\.py"):
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)


def test_other_names_are_mapped(make_file, contract, tmp_path):
    def edit(f):
        for demo in f["data"].values():
            demo.move("obs/front_image", "obs/cam")
            demo.move("obs/robot0_gripper_qpos", "obs/fingers")

    options = replace(OPTIONS, cameras={"front": "cam"}, state={"gripper_width": "fingers[0]"})
    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, options)
    np.testing.assert_allclose(read_episode(first).state["gripper_width"], 0.03, rtol=1e-6)


def test_images_are_turned_and_scaled_when_asked(make_file, contract, tmp_path):
    path = make_file(shape=(8, 12, 3))
    with pytest.raises(EpisodeToolError, match=r"camera 'front' has uint8 \(5, 8, 12, 3\).*--resize scales them"):
        import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    (first, _) = import_robomimic(path, tmp_path / "out", contract, replace(OPTIONS, resize=True, flip=True))
    with h5py.File(path) as f:
        frames = f["data/demo_0/obs/front_image"][()].astype(float)
    expected = frames[:, ::-1].reshape(STEPS, 4, 2, 6, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(read_episode(first).images["front"], expected, atol=1)


@pytest.mark.parametrize(
    ("env_kwargs", "message"),
    [
        ({"controller_configs": {**CONTROLLER, "type": "JOINT_VELOCITY"}}, "its controller is JOINT_VELOCITY"),
        ({"controller_configs": {**CONTROLLER, "control_delta": False}}, "its actions are absolute poses"),
        (
            {"controller_configs": {**CONTROLLER, "output_min": [0, -0.05, -0.05, -0.5, -0.5, -0.5]}},
            r"its controller has output_min = \[0, -0\.05, .* must be \[-0\.05, -0\.05, ",
        ),
        ({"controller_configs": {**CONTROLLER, "input_max": 100}}, "its controller has input_max = 100, must be"),
        ({"controller_configs": {**CONTROLLER, "output_max": [1, 2]}}, r"output_max = \[1, 2\], must be a number or 6"),
        ({"control_freq": 10}, "was recorded at 10.0 Hz, the contract contract.yaml requires 20.0 Hz"),
        (
            {"controller_configs": {**CONTROLLER, "output_max": [0.5] * 6}},
            r"'a' becomes .* at step .*the contract allows -1\.0 \.\. 1\.0",
        ),
    ],
)
def test_what_cannot_become_velocities_is_rejected(make_file, contract, tmp_path, env_kwargs, message):
    with pytest.raises(EpisodeToolError, match=message):
        import_robomimic(make_file(env_kwargs=env_kwargs), tmp_path / "out", contract, OPTIONS)
    assert not (tmp_path / "out").exists()


def test_actions_beyond_one_are_rejected_or_cut_off(make_file, contract, tmp_path):
    def edit(f):
        f["data/demo_0/actions"][2, 1] = -1.5

    with pytest.raises(EpisodeToolError, match=r"demo_0: an action reaches 1\.5 \(step 2\)"):
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, replace(OPTIONS, clip=True))
    assert read_episode(first).human_actions[2, 1] == -1


@pytest.mark.parametrize(("ends", "expected"), [((1.0, 0.0), [-1, 1, 0, -1, 1]), ((0.0, 1.0), [1, -1, 0, 1, -1])])
def test_a_gripper_of_0_to_1_needs_its_ends(make_file, contract, tmp_path, ends, expected):
    def edit(f):
        for demo in f["data"].values():
            demo["actions"][:, 6] = [1, 0, 0.5, 1, 0]

    path = make_file(edit)
    message = r"hdf5: the gripper's actions are 0 \.\. 1, robosuite's are -1 open and 1 closed: --gripper-range OPEN"
    with pytest.raises(EpisodeToolError, match=message):
        import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    (first, _) = import_robomimic(path, tmp_path / "out", contract, replace(OPTIONS, gripper_range=ends))
    assert read_episode(first).executed_actions[:, 6].tolist() == expected
    with pytest.raises(EpisodeToolError, match="--gripper-range 1 1: the ends must differ"):
        import_robomimic(path, tmp_path / "other", contract, replace(OPTIONS, gripper_range=(1.0, 1.0)))


def test_actions_must_be_finite(make_file, contract, tmp_path):
    def edit(f):
        f["data/demo_0/actions"][2, 1] = np.nan

    with pytest.raises(EpisodeToolError, match="demo_0: actions are not all finite"):
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)


def test_state_must_be_finite(make_file, contract, tmp_path):
    def edit(f):
        f["data/demo_0/obs/robot0_gripper_qpos"][3] = np.nan

    with pytest.raises(EpisodeToolError, match=r"demo_v141\.hdf5: demo_0: state 'gripper_width' is not finite"):
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)


def test_poses_are_turned_into_the_contracts_frame(make_file, contract, tmp_path):
    options = replace(OPTIONS, ee_rotation=(0.0, 1.0, 0.0, 0.0))
    (first, _) = import_robomimic(make_file(), tmp_path / "out", contract, options)
    # 0.6 j + 0.8 times j is -0.6 + 0.8 j
    np.testing.assert_allclose(read_episode(first).state["ee_pose"][:, 3:], [[0, 0.8, 0, -0.6]] * STEPS, atol=1e-6)


def test_unknown_names_and_an_empty_instruction_are_rejected(make_file, contract, tmp_path):
    options = replace(OPTIONS, state={"ee_poze": "x"}, cameras={"side": "y"}, instruction=" ")
    with pytest.raises(EpisodeToolError) as caught:
        import_robomimic(make_file(), tmp_path / "out", contract, options)
    message = str(caught.value)
    assert "--state ee_poze: not in the contract contract.yaml; known: ee_pose" in message
    assert "--camera side: not in the contract contract.yaml; known: front" in message
    assert "--instruction must not be empty" in message
    assert not (tmp_path / "out").exists()


def test_an_unknown_mask_is_named(make_file, contract, tmp_path):
    with pytest.raises(EpisodeToolError, match=r"has no filter key 'valid'; known: train \(--mask\)"):
        import_robomimic(make_file(), tmp_path / "out", contract, replace(OPTIONS, mask="valid"))


@pytest.mark.parametrize("content", [b"no HDF5", None])
def test_what_is_no_such_file_is_rejected(tmp_path, contract, content):
    path = tmp_path / "a.hdf5"
    if content is None:
        with h5py.File(path, "w") as f:
            f["other"] = 1
    else:
        path.write_bytes(content)
    with pytest.raises(EpisodeToolError, match=r"a\.hdf5: (not a readable|has no group 'data')"):
        import_robomimic(path, tmp_path / "out", contract, OPTIONS)


def test_a_folder_and_the_released_apo_layout_are_named(takeovers, contract, tmp_path):
    (written,) = export_apo(read_all(sorted(takeovers.glob("*.h5"))[:1]), tmp_path / "apo", ApoOptions())
    with pytest.raises(EpisodeToolError, match="is of the released APO layout, which has no state"):
        import_robomimic(written, tmp_path / "out", contract, OPTIONS)
    with pytest.raises(EpisodeToolError, match="apo: is a folder, name one HDF5 file"):
        import_robomimic(tmp_path / "apo", tmp_path / "out", contract, OPTIONS)


def test_what_was_exported_comes_back(takeovers, tmp_path):
    paths = sorted(takeovers.glob("*.h5"))[:2]
    export_robomimic(read_all(paths), tmp_path / "data.hdf5", RobomimicOptions())
    state = ("ee_pose", "gripper_width", "joint_position", "joint_velocity")
    contract = load_contract("config/contract.yaml")
    imported = import_robomimic(tmp_path / "data.hdf5", tmp_path / "out", contract, OPTIONS)
    for path, written in zip(paths, imported, strict=True):
        before, after = read_episode(path), read_episode(written)
        assert after.info.kind == EpisodeKind.INTERACTION
        assert (after.sources, after.outcome.outcome) == (before.sources, before.outcome.outcome)
        assert after.labels(LabelRule()) == before.labels(LabelRule())
        for name in ("executed_actions", "policy_actions", "human_actions"):
            requested = np.clip(getattr(before, name), contract.action.low, contract.action.high)
            np.testing.assert_allclose(getattr(after, name), requested, atol=1e-6)
        np.testing.assert_array_equal(after.adapter_versions, before.adapter_versions)
        for name in state:
            np.testing.assert_allclose(after.state[name], before.state[name], atol=1e-6)
        for name in before.images:
            np.testing.assert_array_equal(after.images[name], before.images[name])
    assert [validate(written).faults for written in imported] == [[], []]


def test_an_export_brings_its_instructions_and_operators(takeovers, tmp_path):
    paths = sorted(takeovers.glob("*.h5"))[:2]
    export_robomimic(read_all(paths), tmp_path / "data.hdf5", RobomimicOptions(next_obs=False))
    with h5py.File(tmp_path / "data.hdf5", "r+") as f:
        f["data/demo_1"].attrs.update(instruction="put it down", operator="Ada")
    contract, own = load_contract("config/contract.yaml"), replace(OPTIONS, instruction="")
    imported = import_robomimic(tmp_path / "data.hdf5", tmp_path / "out", contract, own)
    before, first, second = (read_episode(path).info for path in (paths[0], *imported))
    assert (first.instruction, first.operator) == (before.instruction, before.operator)
    assert (second.instruction, second.operator) == ("put it down", "Ada")


def test_an_export_comes_back_with_the_scale_of_its_contract(write, tmp_path, small_contract):
    data = small_contract.as_dict()
    data["action"]["low"], data["action"]["high"] = [-0.3] * 7, [0.3] * 7
    slow = contract_from_dict(data, "slow")
    path = write("PPHP", contract=slow)
    export_robomimic(read_all([path]), tmp_path / "data.hdf5", RobomimicOptions())
    (only,) = import_robomimic(tmp_path / "data.hdf5", tmp_path / "out", slow, OPTIONS)
    before, after = read_episode(path), read_episode(only)
    np.testing.assert_allclose(after.executed_actions, before.executed_actions, atol=1e-6)
