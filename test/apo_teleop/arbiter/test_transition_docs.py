"""The page about the arbiter agrees with the code."""

from pathlib import Path

from apo_core.contract.contract import load_contract
from apo_teleop.arbiter.transition_docs import limit_table, main, page, parameter_table, transition_table
from apo_teleop.arbiter.transitions import TRANSITIONS

ROOT = Path(__file__).parents[3]
CONTRACT_FILE = ROOT / "config" / "contract.yaml"
CONTRACT = load_contract(CONTRACT_FILE)


def run(file, *options):
    return main([str(file), "--contract", str(CONTRACT_FILE), *options])


def test_the_page_is_up_to_date():
    assert run(ROOT / "docs" / "reference" / "arbiter.md", "--check") == 0, (
        "run: python -m apo_teleop.arbiter.transition_docs"
    )


def test_it_is_written_and_a_changed_one_is_noticed(tmp_path, capsys):
    file = tmp_path / "page.md"
    assert run(file, "--check") == 1
    assert run(file) == 0 and file.read_text() == page(CONTRACT)
    file.write_text(page(CONTRACT) + "more")
    assert run(file, "--check") == 1
    assert "page.md is out of date: python -m apo_teleop.arbiter.transition_docs" in capsys.readouterr().err


def test_every_row_is_there_in_order():
    lines = transition_table(TRANSITIONS).splitlines()
    assert lines[2] == "| 1 | an emergency stop was requested | `ESTOP` | `estop` | yes |"
    assert lines[3] == "| 2 | an earlier fault has not been cleared | as it is | the latched one | yes |"
    assert lines[-1].endswith("| nothing else applies | `POLICY` | `policy_in_control` |  |")
    assert len(lines) == len(TRANSITIONS) + 2


def test_the_diagram_names_every_reason_a_tick_can_have():
    drawing = page(CONTRACT).partition("```mermaid")[2].partition("```")[0]
    assert all(reason in drawing for reason in {row.published for row in TRANSITIONS} - {None})
    assert "any --> ESTOP: estop*" in drawing


def test_limits_and_parameters_have_unit_default_and_range():
    assert "| `limits.linear_jerk` | m/s^3 |" in limit_table(CONTRACT)
    assert "| `limits.linear_speed` | m/s | `1.0` | speed of the end effector, norm | must be set |" in limit_table(
        CONTRACT
    )
    assert "| `hand_back` | `rest` | `rest`, `button` |" in parameter_table()
    assert "| `operator_stale_s` | `0.3` | 0.01 .. 10 |" in parameter_table()
