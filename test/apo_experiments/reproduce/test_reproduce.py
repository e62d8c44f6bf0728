"""`apo reproduce` with the trainings of a tiny policy; the simulation is replaced."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from apo_core.adapters.store import AdapterStore
from apo_core.config.parameters import read_ros_parameters
from apo_core.types import EpisodeKind
from apo_experiments.compare import compare
from apo_experiments.loop.simulated_loop import TrialFacts
from apo_experiments.reproduce import reproduce, study
from apo_experiments.rollouts import RolloutResult

ROOT = Path(__file__).parents[3]
TRAINING = {
    "steps": 2,
    "batch_size": 8,
    "warmup_steps": 0,
    "undesirable_steps": 4,
    "threads": 1,
    "niceness": 0,
    "progress_s": 0.0,
}
SETTINGS = {
    "methods": ["apo"],
    "lifelong_methods": ["apo"],
    "interactions": 4,
    "demonstrations": 2,
    "perturbed_interactions": 4,
    "perturbed_demonstrations": 2,
    "evaluation_episodes": 4,
    "rounds": 2,
    "rollouts": 4,
    "trainer_file": "trainer.yaml",
    "compare_file": "compare.yaml",
}


class Simulation:
    """What was asked of the simulation: (kind, perturbation, adapter version, seeds)."""

    def __init__(self, write_episode):
        self.calls, self._write = [], write_episode
        self.fails_at = -1

    def _add(self, kind: str, perturbation, version: int, count: int) -> None:
        if len(self.calls) == self.fails_at:
            raise KeyboardInterrupt
        self.calls.append((kind, perturbation.text, version, count))

    def evaluate(self, checkpoint, settings, seeds, progress, workers, adapter, stop=None):
        """Even seeds succeed, with an adapter all do."""
        self._add("evaluate", settings.perturbation, adapter.version if adapter else 0, len(seeds))
        results = [RolloutResult(seed, adapter is not None or seed % 2 == 0, 10) for seed in seeds]
        assert stop is None or not stop(results)
        return results

    def collect(self, settings, seeds, folder, workers, progress):
        """Takeovers in every episode."""
        version = settings.adapter.version if settings.adapter else 0
        self._add("collect", settings.rollout.perturbation, version, len(seeds))
        for seed in seeds:
            if not (folder / f"e{seed}.h5").exists():
                self._write(f"e{seed}", "PPPPPHHH", directory=folder)
        return [TrialFacts(seed, True, 8, 3, 1) for seed in seeds]

    def demonstrate(self, task, folder, count, seed, perturbation, **_):
        self._add("demonstrate", perturbation, 0, count)
        for number in range(count):
            if not (folder / f"d{number}.h5").exists():
                self._write(f"d{number}", "H" * 12, kind=EpisodeKind.DEMONSTRATION, directory=folder)


@pytest.fixture
def simulation(write_episode, monkeypatch):
    made = Simulation(write_episode)
    monkeypatch.setattr(compare, "evaluate_policy", made.evaluate)
    monkeypatch.setattr(study, "evaluate_policy", made.evaluate)
    monkeypatch.setattr(study, "collect", made.collect)
    monkeypatch.setattr("apo_sim_bridge.demonstrations.files.ensure_demonstrations", made.demonstrate)
    return made


@pytest.fixture
def options(checkpoint, tmp_path, monkeypatch):
    """Of a reproduction in a folder of its own, with the tiny policy as the base policy of Lift."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint, tmp_path / "models" / "lift_base")
    for name, section, values in (
        ("trainer", "trainer", TRAINING),
        ("reproduce", "reproduce", SETTINGS),
        (
            "compare",
            "compare",
            read_ros_parameters(ROOT / "config" / "compare.yaml", "compare") | {"method_settings": []},
        ),
    ):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({section: {"ros__parameters": values}}))
    return ["--config", "reproduce.yaml", "--output", "out"]


GREY = '{"background": "grey"}'


def references(folder: str) -> list[str]:
    """Those of the updates, as their adapters have recorded them."""
    store = AdapterStore(Path("out/lifelong/lift") / folder / "adapters")
    return [store.read(number)[0].config["reference"] for number in store.versions()]


def lifelong_rows(report: str) -> list[str]:
    """First column of the lifelong table."""
    lines = report.partition("## Lifelong, Lift")[2].splitlines()[4:10]
    return [line.split(" |")[0].strip("| ") for line in lines]


def test_everything_is_collected_trained_measured_and_reported(options, simulation, capsys):
    assert reproduce.main(["all", *options]) == 0
    usual = [call for call in simulation.calls if call[1] == ""]
    assert [call for call in simulation.calls if call[1]] == [
        ("demonstrate", GREY, 0, 2),
        ("collect", GREY, 0, 4),
        ("evaluate", GREY, 0, 4),
        ("evaluate", GREY, 1, 4),
    ]
    assert usual[:4] == [
        ("demonstrate", "", 0, 2),
        ("collect", "", 0, 4),
        ("evaluate", "", 0, 4),
        ("evaluate", "", 1, 4),
    ]
    # table 1; apo, the same with another reference, and no update: an adapter of the first round drives the second
    assert [call[2] for call in usual if call[0] == "collect"] == [0, 0, 1, 0, 1, 0, 0]
    report = Path("out/report.md").read_text()
    titles = [line for line in report.splitlines() if line.startswith("## ")]
    assert titles == [
        "## Table 1, Lift",
        "## Perturbed, Lift: background grey",
        "## The same policies in the usual setting, Lift",
        "## Ablations, Lift",
        "## Lifelong, Lift",
        "## Lifelong, Lift: the operator's time",
    ]
    assert "| apo    | 100% (51% .. 100%) | 4 | 100%          | +2 / -0, p 0.5 |" in report
    assert lifelong_rows(report) == ["no update"] * 2 + ["apo"] * 2 + ["apo, reference base"] * 2
    assert "Cost: 4 episodes with the operator, 4 takeovers, 38% of the steps driven (1 s of driving, 2 s" in report
    # 50 points for 1.6 s of attention, 0.6 s of driving
    assert "| +1875.0              | +5000.0             |" in report
    lines = report[report.index("the operator's time") :].splitlines()
    times = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert times[2] == ["no update", "1", "0% (0% .. 49%)", "2 s", "1 s", "", ""]
    assert times[5] == ["apo", "2", "0% (0% .. 49%)", "2 s", "1 s", "+0.0", "+0.0"]
    assert json.loads(Path("out/lifelong/lift/apo_start/round_2.json").read_text())["serving"] == 1
    assert json.loads(Path("out/report.json").read_text())["settings"]["rounds"] == 2
    assert "<h2>Lifelong, Lift</h2>" in Path("out/report.html").read_text()
    assert Path("out/table_1_lift.png").is_file()
    printed = capsys.readouterr().out
    assert (
        "table1/Lift: 4 episodes with the operator, 2 demonstrations, 8 evaluation episodes, 2 training steps"
        in printed
    )
    store = AdapterStore("out/lifelong/lift/apo_start/adapters")
    assert [store.read(number)[0].parent for number in store.versions()] == [0, 1]
    assert references("apo_start") == ["start", "start"] and references("apo_base") == ["base", "base"]
    done = len(simulation.calls)
    assert reproduce.main(["lifelong", *options, "--set", "lifelong_reference=base"]) == 0
    assert [call[0] for call in simulation.calls[done:]] == ["demonstrate"]  # which finds its own files
    report = Path("out/report.md").read_text()
    assert lifelong_rows(report) == ["no update"] * 2 + ["apo"] * 2 + ["apo, reference start"] * 2


def test_an_interrupted_run_goes_on_where_it_was(options, simulation, capsys):
    simulation.fails_at = 3
    assert reproduce.main(["table1", *options]) == 130
    assert "stopped; the same command goes on" in capsys.readouterr().err
    simulation.fails_at = -1
    assert reproduce.main(["table1", *options]) == 0
    assert [call[0] for call in simulation.calls].count("evaluate") == 2
    before = Path("out/report.md").read_text()
    assert reproduce.main(["table1", *options]) == 0
    assert Path("out/report.md").read_text() == before
    assert [call[0] for call in simulation.calls].count("evaluate") == 2


def test_a_plan_changes_nothing(options, simulation, capsys):
    assert reproduce.main(["lifelong", *options, "--plan"]) == 0
    assert "in all: 16 episodes with the operator, 2 demonstrations, 8 evaluation episodes" in capsys.readouterr().out
    assert simulation.calls == []
    assert not Path("out").exists()


def test_a_task_without_a_base_policy_is_reported_with_the_cure(options, simulation, capsys):
    assert reproduce.main(["table1", *options, "--tasks", "Lift", "Stack"]) == 2
    assert "no base policy of Stack: `./apo base-policy --set task=Stack` makes one" in capsys.readouterr().err
    assert simulation.calls == []


def test_another_base_policy_can_be_named_for_one_task(options, simulation, capsys):
    shutil.move("models/lift_base", "mine")
    assert reproduce.main(["table1", *options, "--checkpoint", "nowhere"]) == 2
    assert "no checkpoint in nowhere" in capsys.readouterr().err
    assert reproduce.main(["table1", *options, "--checkpoint", "mine", "--tasks", "Lift", "Stack"]) == 2
    assert "checkpoint = 'mine' is of one task, and tasks = ['Lift', 'Stack']" in capsys.readouterr().err
    assert reproduce.main(["table1", *options, "--checkpoint", "mine", "--plan"]) == 0
