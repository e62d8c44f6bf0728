"""`apo collect` as a user types it."""

from pathlib import Path

import pytest

from apo_core.types import EpisodeKind
from apo_episodes.reader import read_episode
from apo_experiments.loop import collect
from apo_experiments.loop.simulated_loop import TrialFacts

ROOT = Path(__file__).parents[3]
OPTIONS = ["--n", "2", "--seed", "31", "--set", "horizon=5", "workers=1", "image_compression=none"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_repeated_command_makes_what_is_missing_to_the_bit(tmp_path, capsys):
    command = [*OPTIONS, "--output", "episodes"]
    assert collect.main(command) == 0
    printed = capsys.readouterr().out
    assert "Lift, base policy " in printed
    assert "seeds 31 .. 32, into episodes" in printed
    assert "2 episodes: 0 succeeded, 0 takeovers, driven by the operator 0% (0 s)" in printed
    made = sorted((tmp_path / "episodes").glob("*.h5"))
    before = [path.read_bytes() for path in made]
    assert [read_episode(path).info.seed for path in made] == [31, 32]
    assert {read_episode(path).info.kind for path in made} == {EpisodeKind.INTERACTION}
    # as a kill leaves it
    made[1].unlink()
    (tmp_path / "episodes" / ".partial" / f"{made[1].stem}.journal").write_bytes(b"half")
    kept = made[0].stat().st_mtime_ns
    assert collect.main(command) == 0
    assert [path.read_bytes() for path in made] == before
    assert made[0].stat().st_mtime_ns == kept
    assert list((tmp_path / "episodes" / ".partial").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--set", "reaction_s=-1"], "reaction_s = -1.0 is below its limit 0.0"),
        (["--task", "Fly"], "task = 'Fly' is not one of"),
        (["--adapters", "none"], "none"),
        (["--version", "3"], "--version 3 needs --adapters"),
    ],
)
def test_wrong_options_are_reported_in_a_line(options, expected, capsys):
    assert collect.main([*options, "--output", "episodes"]) == 2
    assert expected in capsys.readouterr().err
    assert not Path("episodes").exists()


def test_the_summary_has_the_operators_share_and_seconds():
    facts = [TrialFacts(1, True, 60, 0, 0), TrialFacts(2, False, 40, 25, 2)]
    assert collect.summary(facts, 0.05) == ("2 episodes: 1 succeeded, 2 takeovers, driven by the operator 25% (1 s)")
