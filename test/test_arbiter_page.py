"""The generated page about the arbiter."""

from pathlib import Path

from apo_core.contract.contract import load_contract
from apo_reference.arbiter_page import limit_table, page, parameter_table, transition_table
from apo_teleop.arbiter.transitions import TRANSITIONS

CONTRACT = load_contract(Path(__file__).parents[1] / "config" / "contract.yaml")


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
