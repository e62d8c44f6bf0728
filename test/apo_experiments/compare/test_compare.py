"""One command for all methods; the simulation is replaced."""

import json
import os
from pathlib import Path

import pytest
import yaml

from apo_core.adapters.store import AdapterStore
from apo_core.config.parameters import read_ros_parameters
from apo_core.types import EpisodeKind
from apo_experiments.compare import compare
from apo_experiments.rollouts import RolloutResult

ROOT = Path(__file__).parents[3]
TRAINING = {
    "steps": 2,
    "batch_size": 8,
    "learning_rate": 0.01,
    "warmup_steps": 0,
    "undesirable_steps": 4,
    "threads": 1,
    "niceness": 0,
    "progress_s": 0.0,
}


@pytest.fixture
def settings_seen():
    """How each measurement ran."""
    return []


@pytest.fixture
def measured(monkeypatch, settings_seen):
    """Replaces the simulation: even seeds succeed, with an adapter all do. Keeps what was asked for."""
    calls = []

    def evaluate(checkpoint, settings, seeds, progress, workers, adapter, stop):
        calls.append(adapter)
        settings_seen.append(settings)
        results = []
        for seed in seeds:
            results.append(RolloutResult(seed, adapter is not None or seed % 2 == 0, 10))
            if stop(results):
                break
        progress(results)
        return results

    monkeypatch.setattr(compare, "evaluate_policy", evaluate)
    return calls


@pytest.fixture
def arguments(checkpoint, interactions, write_episode, tmp_path, monkeypatch):
    """Arguments of a comparison in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write_episode(f"demo{number}", "H" * 12, kind=EpisodeKind.DEMONSTRATION, directory=tmp_path / "expert")
    trainer = {"trainer": {"ros__parameters": TRAINING}}
    (tmp_path / "trainer.yaml").write_text(yaml.safe_dump(trainer))
    shipped = read_ros_parameters(ROOT / "config" / "compare.yaml", "compare")
    shipped |= {"trainer_file": "trainer.yaml", "method_settings": []}
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump({"compare": {"ros__parameters": shipped}}))
    data = f"--episodes {interactions} --expert expert --checkpoint {checkpoint}"
    return f"--config compare.yaml {data} --output out --n 4".split()


def results() -> dict[str, dict]:
    return {row["method"]: row for row in json.loads(Path("out/compare.json").read_text())["results"]}


def test_every_method_is_trained_and_measured_on_the_same_seeds(arguments, measured, capsys):
    assert compare.main([*arguments, "--methods", "apo", "dpo", "tpo", "sirius"]) == 0
    rows = results()
    assert list(rows) == ["base", "apo", "dpo", "tpo", "sirius"]
    assert rows["base"]["trainings"][0]["outcomes"] == [[50000, True], [50001, False], [50002, True], [50003, False]]
    assert [rows[name]["successes"] for name in rows] == [2, 4, 4, 4, 4]
    assert {row["steps"] for name, row in rows.items() if name != "base"} == {2}
    assert [adapter and adapter.store for adapter in measured] == [
        None,
        *(f"out/{name}/seed_0/adapters" for name in ("apo", "dpo", "tpo", "sirius")),
    ]
    assert AdapterStore("out/dpo/seed_0/adapters").read(1)[0].method == "dpo"
    assert Path("out/base/evaluation.json").is_file()
    table = Path("out/table.md").read_text()
    assert table in capsys.readouterr().out
    assert "| base   | 50%" in table
    assert Path("out/compare.png").is_file()


def test_a_second_run_keeps_what_is_done_and_adds_what_is_not(arguments, measured):
    compare.main([*arguments, "--methods", "apo"])
    assert len(measured) == 2
    compare.main([*arguments, "--methods", "apo", "kto"])
    assert len(measured) == 3
    assert list(results()) == ["base", "apo", "kto"]
    # other parameters: trained anew, the base policy stays as it is
    compare.main([*arguments, "--methods", "apo", "--steps", "3"])
    assert len(measured) == 4
    assert results()["apo"]["steps"] == 3


def test_a_perturbation_is_of_the_measurement(arguments, measured, settings_seen, titles):
    options = ["--methods", "apo", "--set", "undesirable_of=likely", "background=bricks", "frame_drop_probability=0.1"]
    assert compare.main([*arguments, *options]) == 0
    changed = {"background": "bricks", "frame_drop_probability": 0.1}
    assert [settings.perturbation.changes for settings in settings_seen] == [changed] * 2
    assert trained("apo")["undesirable_of"] == "likely"
    assert titles[-1].endswith("background bricks, frame_drop_probability 0.1")
    # another setting is measured anew
    compare.main([*arguments, "--methods", "apo", "--set", "undesirable_of=likely"])
    assert len(measured) == 4


def test_methods_train_from_the_base_policy_on_all_undesirable_steps(arguments, measured):
    compare.main([*arguments, "--methods", "apo", "--set", "undesirable_of=parent", "start_from=serving"])
    version, _ = AdapterStore("out/apo/seed_0/adapters").read(1)
    assert (version.parent, version.config["start_from"], version.config["undesirable_of"]) == (0, "base", "all")
    # neither changes what is trained
    compare.main([*arguments, "--methods", "apo"])
    assert len(measured) == 2
    compare.main([*arguments, "--methods", "apo", "--set", "undesirable_of=likely"])
    assert len(measured) == 3


def test_what_the_gate_would_reject_is_measured_and_marked(arguments, measured):
    assert compare.main([*arguments, "--methods", "apo", "--set", "gate_rise_nats=1000"]) == 0
    row = results()["apo"]
    assert row["n"] == 4
    assert "gate_rise_nats = 1000" in row["trainings"][0]["objections"][0]


def test_a_method_that_cannot_train_is_a_row_with_the_reason(arguments, measured):
    assert compare.main([*arguments, "--methods", "tpo", "--set", "tpo_window=50"]) == 0
    assert results()["tpo"]["n"] == 0
    assert "no 50 undesirable steps in a row" in results()["tpo"]["failure"]


@pytest.fixture
def configure(arguments):
    """Changes parameters of the comparison's file."""

    def change(**values):
        file = Path("compare.yaml")
        parameters = {**read_ros_parameters(file, "compare"), **values}
        file.write_text(yaml.safe_dump({"compare": {"ros__parameters": parameters}}))

    return change


@pytest.fixture
def titles(monkeypatch):
    """Replaces the figure; keeps its titles."""
    found = []
    monkeypatch.setattr(compare, "write_figure", lambda results, path, title: found.append(title))
    return found


def trained(name: str, seed: int = 0) -> dict:
    """Parameters that the newest adapter of a method was trained with."""
    adapters = AdapterStore(f"out/{name}/seed_{seed}/adapters")
    return adapters.read(adapters.latest())[0].config


def test_a_method_trains_with_its_own_settings(arguments, measured, configure, titles):
    configure(method_settings=["apo steps=3  learning_rate=5e-3", "bc steps=9"])
    assert compare.main([*arguments, "--methods", "apo", "kto"]) == 0
    assert [(trained(name)["steps"], trained(name)["learning_rate"]) for name in ("apo", "kto")] == [
        (3, 0.005),
        (2, 0.01),
    ]
    facts = json.loads(Path("out/compare.json").read_text())
    assert facts["trainer"]["steps"] == 2
    assert facts["method_parameters"] == {"apo": {"steps": 3, "learning_rate": 0.005}, "kto": {}}
    assert titles == ["Lift"]
    # one method's settings change: the others are kept
    configure(method_settings=["apo steps=4"])
    assert compare.main([*arguments, "--methods", "apo", "kto"]) == 0
    assert len(measured) == 4
    assert trained("apo")["steps"] == 4


def test_the_command_line_wins_over_a_method_s_settings(arguments, measured, configure):
    configure(method_settings=["apo steps=3 learning_rate=0.005"])
    assert compare.main([*arguments, "--methods", "apo", "kto", "--steps", "1", "--set", "batch_size=4"]) == 0
    names = ("steps", "learning_rate", "batch_size")
    assert [trained("apo")[name] for name in names] == [1, 0.005, 4]
    assert [trained("kto")[name] for name in names] == [1, 0.01, 4]


def test_a_method_may_have_a_rank_of_its_own(arguments, measured, configure):
    configure(method_settings=["apo lora_rank=4 lora_alpha=8"])
    assert compare.main([*arguments, "--methods", "apo", "kto"]) == 0
    shapes = []
    for adapter in measured[1:]:
        version, tensors = AdapterStore(adapter.store).read(adapter.version)
        ranks = {tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name}
        shapes.append((version.adapter_config["r"], version.adapter_config["lora_alpha"], ranks))
    assert shapes == [(4, 8.0, {4}), (32, 64.0, {32})]


def test_the_adapter_that_was_trained_is_measured_not_a_newer_one(arguments, measured):
    for steps in ("2", "1", "2"):
        compare.main([*arguments, "--methods", "apo", "--steps", steps])
    # the third run trained the first one's adapter again
    assert [adapter.version for adapter in measured[1:]] == [1, 2, 1]


def test_values_that_the_trainer_rejects_are_all_reported_first(arguments, measured, configure, capsys):
    configure(method_settings=["apo learning_rate=2 steps=many", "kto share_human=0.5", "bc steps=-1"])
    assert compare.main([*arguments, "--methods", "apo", "kto"]) == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  - method_settings: apo: steps = 'many' must be of type int (config/compare.yaml)",
        "  - method_settings: apo: learning_rate = 2.0 is above its limit 1.0 (config/compare.yaml)",
        "  - method_settings: kto: share_expert + share_human + share_undesirable = 1.25 must be 1 "
        "(config/trainer.yaml) (config/compare.yaml)",
    ]
    assert measured == []


def test_each_method_is_trained_once_a_seed(arguments, measured, titles, capsys):
    assert compare.main([*arguments, "--methods", "apo", "bc", "--training-seeds", "2", "--set", "seed=7"]) == 0
    assert [adapter and adapter.store for adapter in measured] == [
        None,
        "out/apo/seed_7/adapters",
        "out/apo/seed_8/adapters",
        "out/bc/seed_7/adapters",
        "out/bc/seed_8/adapters",
    ]
    assert [trained("apo", seed)["seed"] for seed in (7, 8)] == [7, 8]
    rows = results()
    assert (rows["apo"]["n"], rows["apo"]["successes"], rows["base"]["n"]) == (8, 8, 4)
    assert [training["seed"] for training in rows["apo"]["trainings"]] == [7, 8]
    assert [training["seed"] for training in rows["base"]["trainings"]] == [None]
    assert Path("out/apo/seed_8/evaluation.json").is_file()
    assert Path("out/apo/seed_8/training/result.json").is_file()
    assert "| 100 100 % " in capsys.readouterr().out
    assert titles == ["Lift, 2 training steps each, 2 trainings each"]


def test_a_further_seed_keeps_the_trainings_that_are_done(arguments, measured, capsys):
    compare.main([*arguments, "--methods", "apo"])
    compare.main([*arguments, "--methods", "apo", "--training-seeds", "2"])
    assert [adapter and adapter.store for adapter in measured] == [
        None,
        "out/apo/seed_0/adapters",
        "out/apo/seed_1/adapters",
    ]
    assert "apo, seed 0: kept from out/apo/seed_0/evaluation.json" in capsys.readouterr().out
    assert results()["apo"]["n"] == 8


def test_a_training_that_fails_leaves_the_others_of_its_method(arguments, measured, capsys):
    Path("out/apo/seed_1").mkdir(parents=True)
    Path("out/apo/seed_1/adapters").write_text("no folder")
    assert compare.main([*arguments, "--methods", "apo", "--training-seeds", "3"]) == 0
    assert [adapter and adapter.store for adapter in measured] == [
        None,
        "out/apo/seed_0/adapters",
        "out/apo/seed_2/adapters",
    ]
    row = results()["apo"]
    assert (row["n"], row["rate"]) == (8, 1.0)
    reason = "apo, seed 1: AdapterError: adapter store out/apo/seed_1/adapters cannot be listed: "
    assert row["failure"].startswith(reason)
    printed = capsys.readouterr().out
    assert "| 100 failed 100 % " in printed
    assert f"\n{reason}" in printed


def test_seeds_have_an_upper_limit(arguments, measured, capsys):
    assert compare.main([*arguments, "--training-seeds", "2", "--set", "seed=2147483647"]) == 2
    assert (
        "training_seeds = 2: seed = 2147483648 of the last training is above its limit 2147483647 "
        "(config/compare.yaml, trainer.yaml)" in capsys.readouterr().err
    )
    assert compare.main([*arguments, "--training-seeds", "0"]) == 2
    assert "training_seeds = 0 is below its limit 1" in capsys.readouterr().err
    assert compare.main([*arguments, "--training-seeds", "101"]) == 2
    assert "training_seeds = 101 is above its limit 100" in capsys.readouterr().err
    assert measured == []


def test_rows_are_paired_with_the_method_of_the_file(arguments, measured, configure, capsys):
    configure(against="kto")
    compare.main([*arguments, "--methods", "apo", "kto"])
    rows = results()
    assert rows["base"]["against"] == {
        "method": "kto",
        "pairs": 4,
        "gained": 0,
        "lost": 2,
        "p": 0.5,
        "log_e": {"better": pytest.approx(-1.0987123), "worse": pytest.approx(0.8472836)},
    }
    assert rows["apo"]["against"] == {
        "method": "kto",
        "pairs": 4,
        "gained": 0,
        "lost": 0,
        "p": 1.0,
        "log_e": {"better": 0.0, "worse": 0.0},
    }
    assert rows["kto"]["against"] is None
    assert "| against kto " in capsys.readouterr().out
    # another pairing is no reason to measure again
    configure(against="apo")
    compare.main([*arguments, "--methods", "apo", "kto"])
    assert len(measured) == 3
    assert results()["kto"]["against"]["method"] == "apo"


def test_methods_of_the_command_line_without_that_one_are_not_paired(arguments, measured, configure, capsys):
    configure(against="kto")
    assert compare.main([*arguments, "--methods", "apo"]) == 0
    assert results()["base"]["against"] is None
    assert "against" not in capsys.readouterr().out


def test_without_episodes_the_message_names_the_remedy(arguments, measured, tmp_path, capsys):
    assert compare.main(["--config", "compare.yaml"]) == 2
    assert "runs/episodes: there is no such folder: run `./apo demo` first" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert compare.main([*arguments, "--episodes", "none", "--expert", "none"]) == 2
    assert "no episodes in none nor in none: run `./apo demo` first" in capsys.readouterr().err
    assert measured == []


@pytest.mark.parametrize("option", ["--episodes", "--expert"])
def test_misspelt_folder_is_reported_before_anything_is_measured(arguments, measured, capsys, option):
    assert compare.main([*arguments, option, "nowhere"]) == 2
    assert "nowhere: there is no such folder" in capsys.readouterr().err
    assert measured == []


def test_output_that_is_no_folder_is_reported_in_a_line(arguments, measured, capsys):
    Path("file").write_text("")
    assert compare.main([*arguments, "--output", "file"]) == 2
    assert capsys.readouterr().err == "apo compare: [Errno 17] File exists: 'file'\n"


def test_half_a_row_is_made_again(arguments, measured):
    compare.main([*arguments, "--methods", "apo"])
    for count, text in enumerate(("", '{"key": "', "{}", "[]"), start=3):
        Path("out/apo/seed_0/evaluation.json").write_text(text)
        assert compare.main([*arguments, "--methods", "apo"]) == 0
        assert len(measured) == count, text
        assert results()["apo"]["n"] == 4, text


def test_ctrl_c_names_the_folder_to_go_on_with(arguments, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "evaluate_policy", interrupted)
    assert compare.main(arguments) == 130
    assert "finished trainings are kept: repeat the command with --output out" in capsys.readouterr().err


def test_the_newest_run_that_recorded_something_is_the_default(tmp_path):
    for age, name in enumerate(("empty", "new", "old")):
        folder = tmp_path / name / "episodes"
        folder.mkdir(parents=True)
        if name != "empty":
            (folder / "e.h5").write_bytes(b"")
        os.utime(folder, (1000 - age, 1000 - age))
    assert compare.newest_run(tmp_path) == tmp_path / "new" / "episodes"
    assert compare.newest_run(tmp_path / "nothing") is None


def test_a_method_is_measured_until_it_is_decided(arguments, measured):
    assert compare.main([*arguments, "--methods", "bc", "--n", "40", "--until-decided"]) == 0
    base, bc = results()["base"], results()["bc"]
    # every other seed is a gain: the seventh decides, 2^8 / 8 (1 - 2^-8) > 20
    assert (base["n"], bc["n"], bc["successes"]) == (40, 14, 14)
    assert "bc: decided after 14 episodes" in Path("out/table.md").read_text()
    assert json.loads(Path("out/compare.json").read_text())["settings"]["until_decided"] == 0.05


def test_without_the_option_every_episode_is_measured(arguments, measured):
    assert compare.main([*arguments, "--methods", "bc", "--n", "40"]) == 0
    assert results()["bc"]["n"] == 40
