"""One command for all methods; the simulation is replaced."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import yaml

from apo_core.adapter_store import AdapterStore
from apo_core.config import read_ros_parameters
from apo_core.episode_file import read_episode
from apo_core.errors import ConfigError
from apo_core.types import EpisodeKind
from apo_trainer import compare
from apo_trainer.compare_config import CompareConfig, check_seeds
from apo_trainer.rollouts import RolloutResult

ROOT = Path(__file__).parents[2]
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
def measured(monkeypatch):
    """Replaces the simulation: even seeds succeed, with an adapter all do. Keeps what was asked for."""
    calls = []

    def evaluate(checkpoint, settings, seeds, progress, workers, adapter):
        calls.append(adapter)
        results = [RolloutResult(seed, adapter is not None or seed % 2 == 0, 10) for seed in seeds]
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
    shipped = {**read_ros_parameters(ROOT / "config" / "compare.yaml", "compare"), "trainer_file": "trainer.yaml"}
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump({"compare": {"ros__parameters": shipped}}))
    data = f"--episodes {interactions} --expert expert --checkpoint {checkpoint}"
    return f"--config compare.yaml {data} --output out --n 4".split()


def results() -> dict[str, dict]:
    return {row["method"]: row for row in json.loads(Path("out/compare.json").read_text())["results"]}


def test_every_method_is_trained_and_measured_on_the_same_seeds(arguments, measured, capsys):
    assert compare.main([*arguments, "--methods", "apo", "dpo", "tpo", "sirius"]) == 0
    rows = results()
    assert list(rows) == ["base", "apo", "dpo", "tpo", "sirius"]
    assert rows["base"]["outcomes"] == [[50000, True], [50001, False], [50002, True], [50003, False]]
    assert [rows[name]["successes"] for name in rows] == [2, 4, 4, 4, 4]
    assert {row["steps"] for name, row in rows.items() if name != "base"} == {2}
    assert [adapter and Path(adapter.store).parent.name for adapter in measured] == [None, *list(rows)[1:]]
    assert AdapterStore("out/dpo/adapters").read(1)[0].method == "dpo"
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


def test_methods_train_from_the_base_policy_on_all_undesirable_steps(arguments, measured):
    compare.main([*arguments, "--methods", "apo", "--set", "undesirable_of=parent", "start_from=serving"])
    version, _ = AdapterStore("out/apo/adapters").read(1)
    assert (version.parent, version.config["start_from"], version.config["undesirable_of"]) == (0, "base", "all")
    # neither changes what is trained
    compare.main([*arguments, "--methods", "apo"])
    assert len(measured) == 2
    compare.main([*arguments, "--methods", "apo", "--set", "undesirable_of=likely"])
    assert len(measured) == 3


def test_what_the_gate_would_refuse_is_measured_and_marked(arguments, measured):
    assert compare.main([*arguments, "--methods", "apo", "--set", "gate_rise_nats=1000"]) == 0
    row = results()["apo"]
    assert row["n"] == 4
    assert "gate_rise_nats = 1000" in row["objections"][0]


def test_a_method_that_cannot_train_is_a_row_with_the_reason(arguments, measured):
    assert compare.main([*arguments, "--methods", "tpo", "--set", "tpo_window=50"]) == 0
    assert results()["tpo"]["n"] == 0
    assert "no 50 undesirable steps in a row" in results()["tpo"]["failure"]


def test_evaluation_seeds_must_not_have_been_trained_on(interactions):
    paths = sorted(interactions.glob("*.h5"))
    seed = read_episode(paths[0], images=False).info.seed
    with pytest.raises(ConfigError, match=f"1 episodes to train on have an evaluation seed, the first {seed}"):
        check_seeds(paths, range(seed, seed + 1))
    check_seeds(paths, range(1, 5))


def test_recorded_evaluations_may_have_the_same_seeds(write_episode):
    path = write_episode("e", "PPP", tags={"purpose": "evaluation"})
    seed = read_episode(path, images=False).info.seed
    check_seeds([path], range(seed, seed + 1))


def test_without_episodes_it_says_what_to_do(arguments, measured, tmp_path, capsys):
    assert compare.main(["--config", "compare.yaml"]) == 2
    assert "runs/episodes: there is no such folder: run `./apo demo` first" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert compare.main([*arguments, "--episodes", "none", "--expert", "none"]) == 2
    assert "no episodes in none nor in none: run `./apo demo` first" in capsys.readouterr().err
    assert measured == []


@pytest.mark.parametrize("option", ["--episodes", "--expert"])
def test_a_misspelt_folder_is_told_before_anything_is_measured(arguments, measured, capsys, option):
    assert compare.main([*arguments, option, "nowhere"]) == 2
    assert "nowhere: there is no such folder" in capsys.readouterr().err
    assert measured == []


def test_an_output_that_is_no_folder_is_told_in_a_line(arguments, measured, capsys):
    Path("file").write_text("")
    assert compare.main([*arguments, "--output", "file"]) == 2
    assert capsys.readouterr().err == "apo compare: [Errno 17] File exists: 'file'\n"


@pytest.mark.parametrize("text", ["", '{"key": "', "{}", "[]"])
def test_half_a_row_is_made_again(arguments, measured, text):
    compare.main([*arguments, "--methods", "apo"])
    Path("out/apo/evaluation.json").write_text(text)
    assert compare.main([*arguments, "--methods", "apo"]) == 0
    assert len(measured) == 3
    assert results()["apo"]["n"] == 4


def test_ctrl_c_names_the_folder_to_go_on_with(arguments, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "evaluate_policy", interrupted)
    assert compare.main(arguments) == 130
    assert "finished methods are kept: type the same with --output out" in capsys.readouterr().err


def test_wrong_methods_are_all_named():
    with pytest.raises(ConfigError) as caught:
        CompareConfig(methods=("apo", "sarsa", "apo"))
    assert len(caught.value.faults) == 2


def test_the_newest_run_that_recorded_something_is_the_default(tmp_path):
    for age, name in enumerate(("empty", "new", "old")):
        folder = tmp_path / name / "episodes"
        folder.mkdir(parents=True)
        if name != "empty":
            (folder / "e.h5").write_bytes(b"")
        os.utime(folder, (1000 - age, 1000 - age))
    assert compare.newest_run(tmp_path) == tmp_path / "new" / "episodes"
    assert compare.newest_run(tmp_path / "nothing") is None


def test_the_shipped_file_names_every_parameter():
    shipped = read_ros_parameters(ROOT / "config" / "compare.yaml", "compare")
    assert set(shipped) == {spec.name for spec in dataclasses.fields(CompareConfig)}
