"""Measuring a scripted expert."""

import pytest

from apo_experiments.expert import ExpertTrial, failure_lines, main, table_line

DONE = [ExpertTrial(seed, True, steps, "lifted", 0) for seed, steps in enumerate((30, 40, 50))]
FAILED = ExpertTrial(7, False, 150, "grasped", 3)


def test_a_row_has_rate_interval_and_steps():
    assert table_line("Lift", False, [*DONE, FAILED]) == "| Lift | without | 3/4 | 30.1% .. 95.4% | 40 (32 .. 48, 50) |"
    assert table_line("Lift", True, [FAILED]) == "| Lift | with | 0/1 | 0.0% .. 79.3% | - |"


def test_failures_and_commands_outside_the_workspace_are_listed():
    assert failure_lines(DONE) == []
    assert failure_lines([*DONE, FAILED]) == [
        "seed 7 failed after 150 steps, furthest stage: grasped",
        "3 commands leave the workspace (workspace_low, workspace_high of the contract)",
    ]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [(["--task", "Door"], "task = 'Door' is not one of ['Lift'"), (["--task", "Lift", "--n", "0"], "--n = 0 must be")],
)
def test_wrong_arguments_are_reported(arguments, fault, capsys):
    assert main(arguments) == 2
    assert fault in capsys.readouterr().err


def test_the_expert_of_the_simulation_is_measured(capsys):
    pytest.importorskip("robosuite", reason="robosuite is missing: run 'make setup'")
    assert main(["--task", "Lift", "--n", "2", "--workers", "1"]) == 0
    assert "| Lift | without | 2/2 | 34.2% .. 100.0% |" in capsys.readouterr().out
