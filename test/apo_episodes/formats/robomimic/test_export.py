import json
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.contract.contract import contract_from_dict
from apo_core.errors import EpisodeToolError
from apo_core.types import EpisodeKind, Outcome
from apo_episodes.files import read_all
from apo_episodes.formats.robomimic.export import RobomimicOptions, export_robomimic
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode

RULE = LabelRule(undesirable_steps=1)
NEEDS_ROBOMIMIC = (
    "robomimic is missing: pip install --no-deps robomimic==0.3.0 tensorboardX termcolor imageio psutil egl_probe"
)


def exported(tmp_path, paths, **options):
    target = tmp_path / "data.hdf5"
    export_robomimic(read_all(paths), target, RobomimicOptions(rule=RULE, **options))
    return target


def test_a_demo_holds_the_steps_of_an_episode(write, tmp_path):
    path = write("PPHO")
    episode = read_episode(path)
    with h5py.File(exported(tmp_path, [path])) as f:
        demo = f["data/demo_0"]
        assert f["data"].attrs["total"] == demo.attrs["num_samples"] == 4
        np.testing.assert_array_equal(demo["actions"], episode.executed_actions)
        np.testing.assert_array_equal(demo["obs/front_image"], episode.images["front"])
        np.testing.assert_array_equal(demo["next_obs/front_image"], episode.images["front"][[1, 2, 3, 3]])
        np.testing.assert_array_equal(demo["obs/width"], episode.state["width"])
        np.testing.assert_array_equal(demo["next_obs/width"], episode.state["width"][[1, 2, 3, 3]])
        assert demo["rewards"][()].tolist() == [0, 0, 0, 1]
        assert demo["dones"][()].tolist() == [0, 0, 0, 1]
        assert demo["action_modes"][()].tolist() == [0, 0, 1, 0]
        assert demo["intv_labels"][()].tolist() == [0, -10, 1, 0]
        assert demo["hold"][()].tolist() == [0, 0, 0, 1]
        assert np.isnan(demo["human_actions"][0]).all() and not np.isnan(demo["human_actions"][2]).any()
        assert demo.attrs["episode_id"] == "e1"


def test_a_demo_holds_tokens_and_progress_where_the_episode_has_them(write, with_facts, tmp_path):
    paths = [write("PPP", change=with_facts), write("PPP", "e2")]
    episode = read_episode(paths[0])
    with h5py.File(exported(tmp_path, paths)) as f:
        np.testing.assert_array_equal(f["data/demo_0/policy_tokens"], episode.policy_tokens)
        np.testing.assert_array_equal(f["data/demo_0/task_remaining"], episode.task_remaining)
        assert not {"policy_tokens", "task_remaining"} & set(f["data/demo_1"])


def test_next_observations_reach_over_blocks_of_frames(write, tmp_path, monkeypatch):
    monkeypatch.setattr("apo_episodes.files.BLOCK_BYTES", 3 * 4 * 6 * 3)
    path = write("P" * 8)
    frames = read_episode(path).images["front"]
    with h5py.File(exported(tmp_path, [path])) as f:
        np.testing.assert_array_equal(f["data/demo_0/next_obs/front_image"], frames[[1, 2, 3, 4, 5, 6, 7, 7]])


def test_a_failure_has_no_reward(write, tmp_path):
    with h5py.File(exported(tmp_path, [write("PP", outcome=Outcome.FAILURE)], next_obs=False)) as f:
        assert f["data/demo_0/rewards"][()].tolist() == [0, 0]
        assert "next_obs" not in f["data/demo_0"]


def test_a_demonstration_is_the_experts(write, tmp_path):
    path = write(
        "HH", kind=EpisodeKind.DEMONSTRATION, change=lambda _, s: replace(s, executed_action=s.human_action * 0)
    )
    with h5py.File(exported(tmp_path, [path])) as f:
        assert f["data/demo_0/action_modes"][()].tolist() == [-1, -1]
        assert f["data/demo_0/intv_labels"][()].tolist() == [-1, -1]
        np.testing.assert_array_equal(f["data/demo_0/actions"], read_episode(path).human_actions)


def masks(path):
    with h5py.File(path) as f:
        return {name: [member.decode() for member in f[f"mask/{name}"][()]] for name in f["mask"]}


def test_masks_name_the_demos(write, tmp_path):
    paths = [
        write("PPHP", "a"),
        write("PP", "b", Outcome.FAILURE),
        write("HH", "c", kind=EpisodeKind.DEMONSTRATION),
        write("PP", "d", Outcome.UNLABELED),
    ]
    found = masks(exported(tmp_path, paths))
    train, valid = found.pop("train"), found.pop("valid")
    assert found == {
        "demonstration": ["demo_2"],
        "interaction": ["demo_0", "demo_1", "demo_3"],
        "intervened": ["demo_0"],
        "success": ["demo_0", "demo_2"],
        "failure": ["demo_1"],
        "unlabeled": ["demo_3"],
    }
    assert len(valid) == 1 and sorted(train + valid) == ["demo_0", "demo_1", "demo_2", "demo_3"]


def test_one_episode_is_not_dealt_out(write, tmp_path):
    assert set(masks(exported(tmp_path, [write("PP")]))) == {"interaction", "success"}


def test_the_environment_is_described(write, tmp_path):
    with h5py.File(exported(tmp_path, [write()])) as f:
        env = json.loads(f["data"].attrs["env_args"])
    assert (env["env_name"], env["type"], env["env_kwargs"]["control_freq"]) == ("Lift", 1, 10.0)


def test_tasks_that_differ_need_an_environment(write, tmp_path):
    paths = [write(episode_id="a"), write(episode_id="b", task="Stack")]
    with pytest.raises(EpisodeToolError, match="tasks Lift, Stack"):
        exported(tmp_path, paths)
    with h5py.File(exported(tmp_path, paths, env_args={"env_name": "Both", "type": 1})) as f:
        assert json.loads(f["data"].attrs["env_args"]) == {"env_name": "Both", "type": 1}


def test_actions_are_scaled_to_one(write, tmp_path, small_contract):
    data = small_contract.as_dict()
    data["action"]["low"], data["action"]["high"] = [-0.01] * 7, [0.01] * 7
    with h5py.File(exported(tmp_path, [write("PP", contract=contract_from_dict(data, "slow"))])) as f:
        np.testing.assert_allclose(f["data/demo_0/actions"][:, 0], [0.1, 0.2], rtol=1e-6)
        assert f["data"].attrs["action_scale"].tolist() == [0.01] * 7


def test_nothing_is_left_of_an_export_that_fails(write, tmp_path):
    def change(_, step):
        return replace(step, executed_action=np.full(7, 2, np.float32))

    with pytest.raises(EpisodeToolError, match="is beyond the contract"):
        exported(tmp_path, [write("PP", change=change)])
    with pytest.raises(EpisodeToolError, match="has no steps"):
        exported(tmp_path, [write("", "empty")])
    assert [path.name for path in tmp_path.iterdir()] == ["episodes"]


def test_robomimic_reads_it_with_its_own_data_set(takeovers, tmp_path):
    pytest.importorskip("robomimic.utils.dataset", reason=NEEDS_ROBOMIMIC, exc_type=ImportError)
    import robomimic.utils.obs_utils as obs_utils
    from robomimic.utils.dataset import SequenceDataset

    target = exported(tmp_path, sorted(takeovers.glob("*.h5")))
    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": ["ee_pose"], "rgb": ["wrist_image"]}})
    lengths = {}
    for key in (None, "train", "valid", "intervened"):
        data = SequenceDataset(
            hdf5_path=str(target),
            obs_keys=("ee_pose", "wrist_image"),
            dataset_keys=("actions", "rewards", "dones", "action_modes", "intv_labels"),
            seq_length=10,
            hdf5_cache_mode="low_dim",
            filter_by_attribute=key,
        )
        lengths[key] = len(data)
        item = data[len(data) - 1]
        assert item["actions"].shape == (10, 7) and item["obs"]["wrist_image"].shape == (10, 84, 84, 3)
        assert item["rewards"].max() == 1
    assert lengths[None] == lengths["intervened"] == lengths["train"] + lengths["valid"] == 164


def test_it_passes_the_check_of_robomimic(takeovers, tmp_path):
    pytest.importorskip("robomimic", reason=NEEDS_ROBOMIMIC)
    target = exported(tmp_path, sorted(takeovers.glob("*.h5")))
    done = subprocess.run(
        [sys.executable, "-m", "robomimic.scripts.get_dataset_info", "--dataset", str(target), "--verbose"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "total transitions: 164" in done.stdout
    assert "filter key intervened with 4 demos" in done.stdout
