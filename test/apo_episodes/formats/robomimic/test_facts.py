"""Who drove, and how it ended, through the import."""

from dataclasses import replace

import numpy as np
import pytest

from apo_core.errors import EpisodeToolError
from apo_core.types import ControlSource, EpisodeKind, Outcome
from apo_episodes.formats.robomimic.importer import RobomimicImport, import_robomimic
from apo_episodes.inspection.validate import validate
from apo_episodes.reader import read_episode

OPTIONS = RobomimicImport(instruction="lift the cube", created_utc="2026-01-02T03:04:05+00:00")
STEPS = 5


@pytest.mark.parametrize(
    ("datasets", "sources"),
    [
        ({"action_modes": [0, 0, 1, 1, 0]}, "PPHHP"),
        ({"intv_labels": [0, -10, 1, 1, 0]}, "PPHHP"),
        ({"action_modes": [0, 0, 1, 1, 0], "intv_labels": [0, -10, 1, 1, 0]}, "PPHHP"),
        ({"interventions": [False, False, True, True, False]}, "PPHHP"),
        ({"interventions": [[0], [0], [1], [1], [0]]}, "PPHHP"),
        ({"user_acting": [0, 0, 1, 1, 0]}, "PPHHP"),
        ({"policy_acting": [1, 1, 0, 0, 1]}, "PPHHP"),
        ({"user_acting": [0, 0, 1, 1, 0], "policy_acting": [1, 0, 0, 0, 1]}, "P-HHP"),
        ({"obs/interventions": [0, 0, 1, 1, 0]}, "PPHHP"),
    ],
)
def test_who_drove_is_kept(make_file, contract, tmp_path, datasets, sources):
    def edit(f):
        for demo in f["data"].values():
            for name, values in datasets.items():
                demo[name] = np.array(values)

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    episode = read_episode(first)
    names = {"P": ControlSource.POLICY, "H": ControlSource.HUMAN, "-": ControlSource.HOLD}
    assert episode.info.kind == EpisodeKind.INTERACTION
    assert list(episode.sources) == [names[letter] for letter in sources]
    by_policy = [letter == "P" for letter in sources]
    np.testing.assert_array_equal(episode.policy_actions[by_policy], episode.executed_actions[by_policy])
    assert np.isnan(episode.human_actions[by_policy]).all()
    assert validate(first).faults == []


def test_steps_of_an_expert_alone_are_a_demonstration(make_file, contract, tmp_path):
    def edit(f):
        for demo in f["data"].values():
            demo["action_modes"] = np.full(STEPS, -1)

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert read_episode(first).info.kind == EpisodeKind.DEMONSTRATION


@pytest.mark.parametrize(
    "datasets",
    [
        {"interventions": [0] * 5, "user_acting": [1] * 5, "policy_acting": [0] * 5},
        {"interventions": [[0]] * 5, "user_acting": [[0]] * 5, "policy_acting": [0] * 5},
        {"interventions": [0] * 5, "user_acting": [1] * 5},
        {"user_acting": [1] * 5},
        {"user_acting": [1] * 5, "policy_acting": [0] * 5},
    ],
)
def test_a_person_alone_is_a_demonstration(make_file, contract, tmp_path, datasets):
    def edit(f):
        for name, values in datasets.items():
            f[f"data/demo_0/{name}"] = np.array(values, float)

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert read_episode(first).info.kind == EpisodeKind.DEMONSTRATION
    assert set(read_episode(first).sources) == {ControlSource.HUMAN}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"is_human": False}, "attribute is_human may state who drove"),
        ({"interventions": [0, 0, 1, 1, 0]}, "attribute interventions may state who drove"),
        ({"control_mode": [0, 0, 1, 1, 0]}, "attribute control_mode may state who drove"),
    ],
)
def test_attributes_about_drivers_are_rejected_by_name(make_file, contract, tmp_path, attributes, message):
    path = make_file(lambda f: f["data/demo_0"].attrs.update(attributes))
    with pytest.raises(EpisodeToolError, match=f"demo_0: {message}"):
        import_robomimic(path, tmp_path / "out", contract, OPTIONS)


@pytest.mark.parametrize("above", ["/", "data"])
def test_attributes_above_a_demonstration_are_rejected_by_name(make_file, contract, tmp_path, above):
    path = make_file(lambda f: f[above].attrs.update(interventions=3))
    name = "/" if above == "/" else "/data"
    with pytest.raises(EpisodeToolError, match=f"attribute interventions of {name} may state who drove"):
        import_robomimic(path, tmp_path / "out", contract, OPTIONS)


def test_names_beside_known_drivers_do_not_matter(make_file, contract, tmp_path):
    def edit(f):
        f["data/demo_0/action_modes"], f["data/demo_0/control_mode"] = [0, 0, 1, 1, 0], [3] * 5
        f["data/demo_0"].attrs["num_interventions"] = 1

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert read_episode(first).info.kind == EpisodeKind.INTERACTION


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"action_modes": [0, 0, 2, 1, 0]}, "demo_0: action_modes = 2 at step 2 is none of [-1, 0, 1]"),
        ({"action_modes": [-1, 0, 1, 1, 0]}, "demo_0: action_modes has steps of a demonstration (-1) among others"),
        ({"action_modes": [0, 0, 1]}, "demo_0: action_modes has shape (3,), expected (5,)"),
        (
            {"action_modes": [0, 0, 1, 1, 0], "interventions": [0, 1, 1, 1, 0]},
            "demo_0: action_modes and interventions name different drivers at step 1",
        ),
        (
            {"user_acting": [0, 1, 1, 1, 0], "policy_acting": [1, 1, 0, 0, 1]},
            "demo_0: user_acting and policy_acting are both 1 at step 1",
        ),
        ({"is_human": [0, 1, 1, 1, 0]}, "demo_0: is_human may state who drove, in a form that is not known"),
        ({"obs/takeover_flag": [0, 1, 1, 1, 0]}, "demo_0: obs/takeover_flag may state who drove"),
        ({"human": [0, 1, 1, 1, 0]}, "demo_0: human may state who drove"),
        ({"actor": [0, 1, 1, 1, 0]}, "demo_0: actor may state who drove"),
        ({"infos/intervened": [0, 1, 1, 1, 0]}, "demo_0: infos/intervened may state who drove"),
        ({"infos/is_demo": [0, 1, 1, 1, 0]}, "demo_0: infos/is_demo may state who drove"),
        ({"control_source": [0, 1, 1, 1, 0]}, "demo_0: control_source may state who drove"),
        ({"correction": [[0], [1], [1], [1], [0]]}, "demo_0: correction may state who drove"),
        ({"obs/teleop_active": [0, 1, 1, 1, 0]}, "demo_0: obs/teleop_active may state who drove"),
    ],
)
def test_drivers_that_are_not_certain_are_rejected_by_key(make_file, contract, tmp_path, datasets, message):
    def edit(f):
        for name, values in datasets.items():
            f[f"data/demo_0/{name}"] = np.array(values)

    path = make_file(edit)
    with pytest.raises(EpisodeToolError) as caught:
        import_robomimic(path, tmp_path / "out", contract, OPTIONS)
    assert message in str(caught.value) and not (tmp_path / "out").exists()
    (first, _) = import_robomimic(path, tmp_path / "out", contract, replace(OPTIONS, expert_drivers=True))
    assert read_episode(first).info.kind == EpisodeKind.DEMONSTRATION


@pytest.mark.parametrize(
    ("datasets", "outcome"),
    [
        ({"rewards": [0.05, 0.1, 0.2, 0.25, 0.31]}, Outcome.UNLABELED),
        ({"rewards": [0.05, 0.1, 0.2, 0.25, 0.31], "dones": [0, 0, 0, 0, 0]}, Outcome.UNLABELED),
        ({"rewards": [0.05, 0.1, 0.2, 0.25, 1.0]}, Outcome.UNLABELED),
        ({"rewards": [0.05, 0.1, 0.2, 0.25, 0.31], "dones": [0, 0, 0, 0, 1]}, Outcome.SUCCESS),
        ({"rewards": [0, 0, 0, 0, 0], "dones": [0, 0, 0, 0, 1]}, Outcome.UNLABELED),
        ({"rewards": [0, 0, 0, 0, 1]}, Outcome.SUCCESS),
        ({"rewards": [np.nan] * 5}, Outcome.UNLABELED),
        ({"rewards": [0.1] * 5, "success": [0, 0, 0, 0, 1]}, Outcome.SUCCESS),
        ({"dones": [0, 0, 0, 0, 1]}, Outcome.SUCCESS),
        ({"dones": [1, 1, 1, 1, 1]}, Outcome.UNLABELED),
        ({"rewards": [1, 1, 1, 1, 1]}, Outcome.UNLABELED),
        ({"rewards": [-1, -1, -1, -1, 0]}, Outcome.UNLABELED),
        ({"rewards": [0, 2, 0, 0, 3]}, Outcome.UNLABELED),
        ({"rewards": [0.1] * 5, "success": [0] * 5, "dones": [0, 0, 0, 0, 1]}, Outcome.UNLABELED),
        ({"rewards": [0.1] * 5, "is_success": [False] * 4 + [True]}, Outcome.SUCCESS),
        ({"success": False, "dones": [0, 0, 0, 0, 1]}, Outcome.UNLABELED),
        ({}, Outcome.UNLABELED),
    ],
)
def test_success_is_taken_from_what_states_it(make_file, contract, tmp_path, datasets, outcome):
    def edit(f):
        del f["data/demo_0/rewards"]
        for name, values in datasets.items():
            f[f"data/demo_0/{name}"] = np.array(values)

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert read_episode(first).outcome.outcome == outcome


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ({"success": True}, Outcome.SUCCESS),
        ({"success": np.int64(1)}, Outcome.SUCCESS),
        ({"success": "True"}, Outcome.SUCCESS),
        ({"success": False}, Outcome.UNLABELED),
        ({"outcome": "failure"}, Outcome.FAILURE),
        ({"outcome": np.bytes_(b"SUCCESS")}, Outcome.SUCCESS),
    ],
)
def test_success_of_an_attribute_decides(make_file, contract, tmp_path, attributes, outcome):
    def edit(f):
        demo = f["data/demo_0"]
        demo["dones"] = np.arange(STEPS) == STEPS - 1
        demo["rewards"][:] = False if outcome == Outcome.SUCCESS else demo["rewards"][:]
        demo.attrs.update(attributes)

    (first, _) = import_robomimic(make_file(edit), tmp_path / "out", contract, OPTIONS)
    assert read_episode(first).outcome.outcome == outcome
