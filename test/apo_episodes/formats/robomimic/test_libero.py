"""Files in LIBERO's layout, through the import."""

import json
from dataclasses import replace
from math import pi, sqrt

import h5py
import numpy as np
import pytest
import yaml

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_core.types import ControlSource, EpisodeKind, Outcome
from apo_episodes.cli.cli import main
from apo_episodes.formats.robomimic.importer import RobomimicImport, import_robomimic
from apo_episodes.inspection.validate import validate
from apo_episodes.reader import read_episode

OPTIONS = RobomimicImport(instruction="", created_utc="2026-01-02T03:04:05+00:00")
HALF = sqrt(0.5)
# rotation vectors of the six rows, and the quaternions xyzw of the first five
TURNS = [[pi, 0, 0], [0, 0, 0], [0, 0, pi / 2], [0, 2 * pi + pi / 2, 0], [0, 0, 2 * pi], [1.0, 0, 0]]
QUATERNIONS = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, HALF, HALF], [0, HALF, 0, HALF], [0, 0, 0, 1]]
ROWS = len(TURNS)


@pytest.fixture
def contract_data():
    """Both cameras, 4 x 6, and the state that LIBERO's files have."""
    with open("config/contract.yaml") as file:
        data = yaml.safe_load(file)
    for camera in data["images"].values():
        camera["height"], camera["width"] = 4, 6
    del data["state"]["joint_velocity"]
    return data


@pytest.fixture
def contract(contract_data):
    return contract_from_dict(contract_data, "contract.yaml")


@pytest.fixture
def make_file(tmp_path):
    """(edit) -> a file of two demonstrations as create_dataset.py writes them; `edit(file)` may change it."""

    def make(edit=None):
        path = tmp_path / "pick_up_the_bowl_demo.hdf5"
        controller = {"type": "OSC_POSE", "control_delta": True, "output_max": [0.05] * 3 + [0.5] * 3}
        kwargs = {"control_freq": 20, "controller_configs": controller, "robots": ["Panda"]}
        rng = np.random.default_rng(0)
        with h5py.File(path, "w") as f:
            data = f.create_group("data")
            data.attrs["env_name"] = "Libero_Tabletop_Manipulation"
            data.attrs["env_args"] = json.dumps(
                {"type": 1, "env_name": "Libero_Tabletop_Manipulation", "env_kwargs": kwargs}
            )
            data.attrs["problem_info"] = json.dumps(
                {"problem_name": "libero_tabletop_manipulation", "language_instruction": '"pick up the bowl"'}
            )
            data.attrs["bddl_file_name"] = "pick_up_the_bowl.bddl"
            data.attrs["macros_image_convention"] = "opengl"
            data.attrs["num_demos"], data.attrs["total"], data.attrs["tag"] = 2, 2 * ROWS, "libero-v1"
            for name in ("demo_0", "demo_1"):
                demo = data.create_group(name)
                joints = rng.random((ROWS + 1, 7))  # before the first action, and after each
                demo["actions"] = np.column_stack([rng.uniform(-1, 1, (ROWS, 6)), np.tile([-1.0, 1.0], ROWS // 2)])
                demo["states"] = np.column_stack([np.arange(ROWS) / 20, joints[:-1], rng.random((ROWS, 20))])
                demo["robot_states"] = rng.random((ROWS, 9))
                demo["rewards"] = demo["dones"] = (np.arange(ROWS) == ROWS - 1).astype(np.uint8)
                demo["obs/ee_pos"] = rng.random((ROWS, 3))
                demo["obs/ee_ori"] = np.array(TURNS)
                demo["obs/ee_states"] = np.column_stack([demo["obs/ee_pos"], demo["obs/ee_ori"]])
                demo["obs/gripper_states"] = np.tile([0.03, -0.02], (ROWS, 1))
                demo["obs/joint_states"] = joints[1:]
                demo["obs/agentview_rgb"] = rng.integers(1, 256, (ROWS, 4, 6, 3), np.uint8)
                demo["obs/eye_in_hand_rgb"] = rng.integers(1, 256, (ROWS, 4, 6, 3), np.uint8)
                demo.attrs["num_samples"], demo.attrs["init_state"] = ROWS, demo["states"][0]
                demo.attrs["model_file"] = "<mujoco/>"
            if edit:
                edit(f)
        return path

    return make


def test_demonstrations_become_episodes(make_file, contract, tmp_path):
    path = make_file()
    written = import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    assert [one.name for one in written] == ["pick_up_the_bowl_demo-demo_0.h5", "pick_up_the_bowl_demo-demo_1.h5"]
    assert [validate(one).faults for one in written] == [[], []]
    episode = read_episode(written[1])
    assert episode.info.kind == EpisodeKind.DEMONSTRATION and set(episode.sources) == {ControlSource.HUMAN}
    assert (episode.info.task, episode.info.instruction) == ("Libero_Tabletop_Manipulation", "pick up the bowl")
    assert episode.outcome.outcome == Outcome.SUCCESS
    with h5py.File(path) as f:
        demo = f["data/demo_1"]
        # the observation before an action is in the row before it
        actions = demo["actions"][1:] * [1, 1, 1, 10, 10, 10, 1]
        position, joints = demo["obs/ee_pos"][:-1], demo["obs/joint_states"][:-1]
        agentview, wrist = demo["obs/agentview_rgb"][:-1], demo["obs/eye_in_hand_rgb"][:-1]
    np.testing.assert_allclose(episode.human_actions, actions, rtol=1e-6)
    np.testing.assert_allclose(episode.state["ee_pose"][:, :3], position, rtol=1e-6)
    np.testing.assert_allclose(episode.state["ee_pose"][:, 3:], QUATERNIONS, atol=1e-7)
    np.testing.assert_allclose(episode.state["gripper_width"], [[0.05]] * (ROWS - 1), rtol=1e-6)
    np.testing.assert_allclose(episode.state["joint_position"], joints, rtol=1e-6)
    np.testing.assert_array_equal(episode.images["agentview"], agentview[:, ::-1])
    np.testing.assert_array_equal(episode.images["wrist"], wrist[:, ::-1])


def test_either_form_of_the_pose_is_enough(make_file, contract, tmp_path):
    def without(*keys):
        def edit(f):
            for demo in f["data"].values():
                for key in keys:
                    del demo[f"obs/{key}"]

        return edit

    poses = []
    for number, keys in enumerate([("ee_states",), ("ee_pos", "ee_ori")]):
        (first, _) = import_robomimic(make_file(without(*keys)), tmp_path / str(number), contract, OPTIONS)
        poses.append(read_episode(first).state["ee_pose"])
    np.testing.assert_allclose(poses[0][:, 3:], QUATERNIONS, atol=1e-7)
    np.testing.assert_array_equal(poses[0], poses[1])


def test_observations_that_precede_their_action_stay_in_its_row(make_file, contract, tmp_path):
    def edit(f):
        for demo in f["data"].values():
            demo["obs/joint_states"][:] = demo["states"][:, 1:8]

    path = make_file(edit)
    (first, _) = import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    episode = read_episode(first)
    with h5py.File(path) as f:
        demo = f["data/demo_0"]
        np.testing.assert_allclose(episode.human_actions, demo["actions"] * np.array([1, 1, 1, 10, 10, 10, 1]), 1e-6)
        np.testing.assert_allclose(episode.state["joint_position"], demo["obs/joint_states"], rtol=1e-6)


def test_without_states_the_rows_are_as_libero_writes_them(make_file, contract, tmp_path):
    def edit(f):
        for demo in f["data"].values():
            del demo["states"]

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert len(read_episode(first).human_actions) == ROWS - 1


def test_one_row_has_no_observation_before_its_action(make_file, contract, tmp_path):
    def edit(f):
        demo = f["data/demo_0"]
        for key in ("actions", "states", "rewards", "dones", *(f"obs/{key}" for key in demo["obs"])):
            row = demo[key][:1]
            del demo[key]
            demo[key] = row

    with pytest.raises(EpisodeToolError, match="demo_0: 1 actions are too few, observations follow theirs by 1"):
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)


@pytest.mark.parametrize(
    ("stated", "asked", "expected"),
    [
        ("pick up the bowl", "", "pick up the bowl"),
        (["pick", "up", "the", "bowl"], "", "pick up the bowl"),
        (list("pick up"), "", "pick up"),
        (['"', "pick", "up", '"'], "", "pick up"),
        ("pick up the bowl", "take it", "take it"),
    ],
)
def test_the_instruction_is_the_files_or_the_users(make_file, contract, tmp_path, stated, asked, expected):
    def edit(f):
        f["data"].attrs["problem_info"] = json.dumps({"language_instruction": stated})

    options = replace(OPTIONS, instruction=asked)
    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, options)
    assert read_episode(first).info.instruction == expected


@pytest.mark.parametrize(
    ("convention", "options", "rows", "columns"),
    [
        ("opengl", {}, -1, 1),
        (None, {}, -1, 1),
        ("opencv", {}, 1, 1),
        ("opencv", {"flip": True}, -1, 1),
        ("opengl", {"orientation": {"agentview": "none"}}, 1, 1),
        ("opengl", {"orientation": {"agentview": "rotate_180"}}, -1, -1),
        ("other", {"orientation": {"agentview": "none", "wrist": "none"}}, 1, 1),
    ],
)
def test_pictures_come_upright(make_file, contract, tmp_path, convention, options, rows, columns):
    def edit(f):
        del f["data"].attrs["macros_image_convention"]
        if convention:
            f["data"].attrs["macros_image_convention"] = convention

    path = make_file(edit)
    (first, _) = import_robomimic(path, tmp_path / "out", contract, replace(OPTIONS, **options))
    with h5py.File(path) as f:
        frames = f["data/demo_0/obs/agentview_rgb"][:-1]
    np.testing.assert_array_equal(read_episode(first).images["agentview"], frames[:, ::rows, ::columns])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"macros_image_convention": "other"}, "macros_image_convention = 'other' is none of opengl, opencv"),
        ({"problem_info": "[1]"}, r"problem_info = \[1\] must be an object with a text or a list"),
        ({"problem_info": '{"language_instruction": 3}'}, "must be an object with a text or a list"),
        ({"problem_info": "{"}, "pick_up_the_bowl_demo.hdf5: problem_info is not JSON"),
        ({"problem_info": "{}"}, "--instruction must not be empty, the file has none"),
    ],
)
def test_attributes_that_are_not_known_are_named(make_file, contract, tmp_path, attributes, message):
    with pytest.raises(EpisodeToolError, match=message):
        import_robomimic(make_file(lambda f: f["data"].attrs.update(attributes)), tmp_path / "out", contract, OPTIONS)
    assert not (tmp_path / "out").exists()


def test_missing_keys_are_named_as_libero_has_them(make_file, contract, tmp_path):
    def edit(f):
        for demo in f["data"].values():
            for key in ("ee_states", "ee_ori", "gripper_states", "eye_in_hand_rgb"):
                del demo[f"obs/{key}"]

    with pytest.raises(EpisodeToolError) as caught:
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert str(caught.value).splitlines()[1:] == [
        "  - obs/ee_ori for state 'ee_pose' (--state ee_pose=...)",
        "  - obs/gripper_states for state 'gripper_width' (--state gripper_width=...)",
        "  - obs/eye_in_hand_rgb for camera 'wrist' (--camera wrist=...)",
        "  it has agentview_rgb, ee_pos, joint_states",
    ]


def test_every_wrong_shape_is_listed(make_file, contract, tmp_path):
    def edit(f):
        obs = f["data/demo_1/obs"]
        for key, shape in {"ee_states": (ROWS, 7), "gripper_states": (ROWS - 1, 2), "joint_states": (ROWS,)}.items():
            del obs[key]
            obs[key] = np.zeros(shape)

    with pytest.raises(EpisodeToolError) as caught:
        import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert str(caught.value).splitlines()[0].endswith("demo_1 differs from LIBERO's layout:")
    assert str(caught.value).splitlines()[1:] == [
        "  - obs/ee_states has shape (6, 7), expected (6, 6)",
        "  - obs/gripper_states has shape (5, 2), expected (6, 2)",
        "  - obs/joint_states has shape (6,), expected (6, 7)",
    ]
    assert not (tmp_path / "out").exists()


def test_import_and_validate_by_command(make_file, contract_data, tmp_path, capsys):
    path, contract = make_file(), tmp_path / "contract.yaml"
    contract.write_text(yaml.safe_dump(contract_data))
    target = tmp_path / "out"
    assert main(["import", str(path), "--contract", str(contract), "--output", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}  2 episodes\n"
    assert main(["validate", str(target)]) == 0
