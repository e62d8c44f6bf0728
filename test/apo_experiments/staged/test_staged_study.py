"""`apo staged-study` with the trainings of a tiny policy; the simulation is replaced."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from adapter_samples import CONFIG, TENSORS, plain_manifest

from apo_core.adapters.store import AdapterStore
from apo_core.config.parameters import read_ros_parameters
from apo_core.types import EpisodeKind
from apo_experiments.loop.simulated_loop import TrialFacts, episode_path
from apo_experiments.reproduce import study
from apo_experiments.staged import staged_study

ROOT = Path(__file__).parents[3]
TRAINING = {
    "batch_size": 8,
    "warmup_steps": 0,
    "undesirable_steps": 4,
    "threads": 1,
    "niceness": 0,
    "progress_s": 0.0,
}
SETTINGS = {
    "interactions": 8,
    "demonstrations": 2,
    "steps": 2,
    "episodes": 8,
    "repetitions": 4,
    "draw_seed": 1,
    "seed": 1000,
    "trial_episodes": 60,
    "trial_takeovers": 60,
    "trainer_file": "trainer.yaml",
    "compare_file": "compare.yaml",
}
# of eight seeds, how many each policy does without a takeover; by number of the adapter
UNAIDED = {0: 4, 1: 8, 2: 0, 3: 4}


class Simulation:
    """Writes training data, and outcomes that depend on policy and seed alone."""

    def __init__(self, write_episode):
        self.recorded, self._write = [], write_episode
        self.fails_at = -1

    def demonstrate(self, task, folder, count, seed, perturbation, **_):
        for number in range(count):
            if not (folder / f"d{number}.h5").exists():
                self._write(f"d{number}", "H" * 12, kind=EpisodeKind.DEMONSTRATION, directory=folder)

    def interact(self, settings, seeds, folder, workers, progress):
        assert (seeds.start, settings.adapter) == (400_000, None)
        for seed in seeds:
            if not (folder / f"e{seed}.h5").exists():
                self._write(f"e{seed}", "PPPPPHHH", directory=folder)
        return [TrialFacts(seed, True, 8, 3, 1) for seed in seeds]

    def record(self, settings, seeds, folder, workers, progress):
        version = settings.adapter.version if settings.adapter else 0
        folder.mkdir(parents=True, exist_ok=True)
        files = [episode_path(folder, settings.rollout.task, seed) for seed in seeds]
        missing = [file for file in files if not file.exists()]
        for done, file in enumerate(missing, start=1):
            if len(self.recorded) == self.fails_at:
                raise KeyboardInterrupt
            self.recorded.append((version, file.name))
            file.touch()
            progress(done, len(missing))
        return [TrialFacts(seed, True, 40, 0, int(seed - seeds.start >= UNAIDED[version])) for seed in seeds]


@pytest.fixture
def simulation(write_episode, monkeypatch):
    made = Simulation(write_episode)
    monkeypatch.setattr(study, "collect", made.interact)
    monkeypatch.setattr(staged_study, "collect", made.record)
    monkeypatch.setattr("apo_sim_bridge.demonstrations.files.ensure_demonstrations", made.demonstrate)
    return made


@pytest.fixture
def options(checkpoint, tmp_path, monkeypatch):
    """Of a study in a folder of its own, with the tiny policy as the base policy of Lift."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkpoint, tmp_path / "models" / "lift_base")
    compare = read_ros_parameters(ROOT / "config" / "compare.yaml", "compare") | {"method_settings": []}
    for name, section, values in (
        ("trainer", "trainer", TRAINING),
        ("staged", "staged_study", SETTINGS),
        ("compare", "compare", compare),
    ):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({section: {"ros__parameters": values}}))
    return ["--config", "staged.yaml"]


def endings(folder: str) -> dict[str, dict[str, int]]:
    candidates = json.loads(Path(folder, "report.json").read_text())["candidates"]
    return {each["name"]: {name: n for name, n in each["endings"].items() if n} for each in candidates}


def test_good_is_promoted_bad_rolled_back_and_equal_neither(options, simulation, capsys):
    assert staged_study.main([*options, "--output", "out"]) == 0
    assert endings("out") == {
        "the base policy itself": {"undecided": 4},
        "good (apo_plus)": {"promoted": 4},
        "shuffled labels (apo_plus)": {"worse": 4},
        "subtle (dpo)": {"undecided": 4},
    }
    assert [version for version, _ in simulation.recorded] == [0] * 8 + [1] * 8 + [2] * 8 + [3] * 8
    store = AdapterStore("out/adapters")
    assert [store.manifest(number)["method"] for number in store.versions()] == ["apo_plus", "apo_plus", "dpo"]
    # what was made is on trial; nothing of it serves
    assert store.promotion().number == 0
    printed = capsys.readouterr().out
    assert "4 policies on 8 seeds, 32 episodes to record" in printed
    assert "base: 8 episodes: 8 succeeded, 4 takeovers" in printed
    assert "| good (apo_plus) " in printed and "out/report.md, out/report.json" in printed
    assert Path("out/report.md").read_text() in printed
    # a repeated command trains and records nothing
    assert staged_study.main([*options, "--output", "out"]) == 0
    assert len(simulation.recorded) == 32 and store.versions() == [1, 2, 3]


@pytest.fixture
def stored(options, simulation):
    """Options of a study of three adapters in a store."""
    for method in ("apo_plus", "bc", "dpo"):
        AdapterStore("store").publish(TENSORS, CONFIG, plain_manifest(method=method), promote=False)
    return [*options, "--adapters", "store"]


def test_a_stopped_study_goes_on_to_the_same_report(stored, simulation, capsys):
    assert staged_study.main([*stored, "--output", "whole"]) == 0
    simulation.recorded.clear()
    simulation.fails_at = 13
    assert staged_study.main([*stored, "--output", "halved"]) == 130
    assert "stopped; the same command goes on" in capsys.readouterr().err
    simulation.fails_at = -1
    assert staged_study.main([*stored, "--output", "halved"]) == 0
    assert "4 policies on 8 seeds, 19 episodes to record" in capsys.readouterr().out
    assert len(simulation.recorded) == len(set(simulation.recorded)) == 32
    for name in ("report.json", "report.md"):
        assert Path("halved", name).read_bytes() == Path("whole", name).read_bytes()


def test_more_repetitions_keep_the_first_ones(stored, simulation):
    assert staged_study.main([*stored, "--output", "out"]) == 0
    before = json.loads(Path("out/report.json").read_text())["candidates"]
    assert staged_study.main([*stored, "--output", "out", "--repetitions", "6"]) == 0
    after = json.loads(Path("out/report.json").read_text())["candidates"]
    assert [each["trials"][:4] for each in after] == [each["trials"] for each in before]
    assert len(simulation.recorded) == 32


def test_candidates_of_a_store_may_be_chosen(stored, simulation, capsys):
    assert staged_study.main([*stored, "--output", "chosen", "--versions", "3", "1"]) == 0
    assert endings("chosen") == {
        "the base policy itself": {"undecided": 4},
        "adapter 3 (dpo)": {"undecided": 4},
        "adapter 1 (apo_plus)": {"promoted": 4},
    }
    assert staged_study.main([*stored, "--output", "other", "--versions", "7"]) == 2
    assert "store: has no adapter 7; there are [1, 2, 3]" in capsys.readouterr().err


def test_episodes_of_another_adapter_are_not_taken(stored, simulation, capsys):
    assert staged_study.main([*stored, "--output", "out"]) == 0
    tensors = {name: values + 1 for name, values in TENSORS.items()}
    AdapterStore("other").publish(tensors, CONFIG, plain_manifest(), promote=False)
    assert staged_study.main([*stored, "--output", "out", "--adapters", "other"]) == 2
    text = capsys.readouterr().err
    assert "out/episodes/adapter_1 holds episodes of another adapter or of other settings: name a new --output" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--versions", "1"], "--versions needs --adapters"),
        (["--adapters", "none"], "none: has no adapter; there are []"),
        (["--seed", "899999"], "the last one allowed is 899999"),
        (["--set", "task=Stack"], "no base policy of Stack"),
    ],
)
def test_wrong_options_are_reported_in_a_line(options, simulation, arguments, expected, capsys):
    assert staged_study.main([*options, *arguments]) == 2
    assert expected in capsys.readouterr().err
    assert simulation.recorded == [] and not Path("runs").exists()
