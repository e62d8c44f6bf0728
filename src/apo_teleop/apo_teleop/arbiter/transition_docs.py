"""Writes the state table and limits of the arbiter: `python -m apo_teleop.arbiter.transition_docs` writes the page.

A page of its own under docs/, wholly generated; edit this module or the tables it reads.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from apo_core.config.parameters import parameter_fields
from apo_core.contract.contract import Contract, load_contract
from apo_core.contract.specs import Limits
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.arbiter.transitions import TRANSITIONS, Transition
from apo_teleop.arbiter.types import ControlState

DEFAULT_FILE = Path("docs/reference/arbiter.md")
DEFAULT_CONTRACT = Path("config/contract.yaml")

_INTRODUCTION = """\
<!-- Written by `python -m apo_teleop.arbiter.transition_docs`; edits here are lost. -->
# The arbiter: who moves the robot

In every control tick the arbiter decides who moves the robot and publishes exactly one command, `HOLD` included. Every
command names its source, its reason, the observation behind it and the adapter version. The first row of the table
whose condition holds decides; the previous state matters only where a condition names it.

| state | who moves the robot | source in the command |
| --- | --- | --- |
| `IDLE` | nobody, until the service `~/enable` allows it | `HOLD` |
| `POLICY` | the policy | `POLICY` |
| `HUMAN` | the operator, who moves or rests without having handed back | `HUMAN` |
| `HOLD` | nobody: brakes at `linear_deceleration` and `angular_deceleration`, then stands still | `HOLD` |
| `ESTOP` | nobody, as `HOLD`, until cleared | `HOLD` |

A latched reason stays until a person clears it: the service `~/clear` or a `clear` button. While a publisher of the
topic `estop` sends `true`, clearing is rejected. The arbiter receives that topic with any QoS of the publisher: a
reliable, transient-local publisher sends it once; a best-effort one must repeat it, since a lost message is not sent
again. The arbiter cannot distinguish publishers: if one sends `false`, another that sends `true` must repeat it at
least every 2 s.
After an intervention, a stop or a latched fault the policy drives only with a chunk computed from an observation made
after it (`awaiting_fresh_chunk`).
"""

_MOTION = """\
The limits hold for every command. An action is first brought within range, step and speed. At every change of source
(policy to operator and back, and after `HOLD`) the twist follows a minimum-jerk profile from the last executed to the
wanted one (Flash & Hogan 1985); it takes as long as the limits of acceleration and jerk require, and no time without
them. Within one source the acceleration limits the change per tick; a command between two ticks may use what a tick
allows, so that a takeover moves at once. Last comes the workspace: the speed towards its border is one that the
acceleration can end in time, and at the border nothing leads further out. Every limit that changes an action is named
in `clipped` of the command and counted in `/diagnostics`.
"""


def page(contract: Contract) -> str:
    """The whole page, Markdown."""
    parts = [
        _INTRODUCTION,
        "## From one state to another\n",
        diagram(TRANSITIONS),
        "## The table\n\nBy priority: of several conditions that hold in a tick, the uppermost decides.\n",
        transition_table(TRANSITIONS),
        "## Limits of motion\n",
        _MOTION,
        limit_table(contract),
        "## Times and rates\n\nParameters of the arbiter, `config/arbiter.yaml`.\n",
        parameter_table(),
    ]
    return "\n".join(parts)


def diagram(rows: Sequence[Transition]) -> str:
    """The mermaid state diagram: the reasons that lead into each state from any; what latches is starred."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {ControlState.IDLE}"]
    for state in ControlState:
        reasons = dict.fromkeys(f"{row.published}{'*' * row.latches}" for row in rows if row.target is state)
        # braking has many reasons: a line for each kind
        lines += [f"    any --> {state}: {', '.join(alike)}" for alike in _by_prefix(reasons)]
    lines += ["    any: any state", "```", "", "`*` is latched.", ""]
    return "\n".join(lines)


def transition_table(rows: Sequence[Transition]) -> str:
    """Condition, state, reason, latched; one row each."""
    cells = [
        (
            str(number),
            row.condition,
            f"`{row.target}`" if row.target is not None else "as it is",
            f"`{row.published}`" if row.published is not None else "the latched one",
            "yes" if row.latches else "",
        )
        for number, row in enumerate(rows, 1)
    ]
    return _table(("", "condition", "state", "reason", "latched"), cells)


def limit_table(contract: Contract) -> str:
    """Every limit: key, unit, its value in the contract, and what happens without it."""
    cells = []
    for spec in dataclasses.fields(Limits):
        required, value = spec.default is dataclasses.MISSING, getattr(contract.limits, spec.name)
        cells.append(
            (
                f"`limits.{spec.name}`",
                spec.metadata["unit"],
                "none" if value is None else f"`{list(value) if isinstance(value, tuple) else value}`",
                spec.metadata["description"],
                "must be set" if required else "no such limit, and a warning at start",
            )
        )
    return _table(("key in `config/contract.yaml`", "unit", "simulated robot", "what it limits", "left out"), cells)


def parameter_table() -> str:
    """Every parameter of the arbiter: name, default, range, description with its unit."""
    cells = []
    for spec, _ in parameter_fields(ArbiterConfig).values():
        low, high, choices = (spec.metadata[key] for key in ("low", "high", "choices"))
        allowed = ", ".join(f"`{choice}`" for choice in choices or ())
        if low is not None:
            allowed = f"{low:g} .. {high:g}" if high is not None else f"from {low:g}"
        default = str(spec.default).lower() if isinstance(spec.default, bool) else str(spec.default)
        shown = f"`{default}`" if default else "empty"
        cells.append((f"`{spec.name}`", shown, allowed, spec.metadata["description"]))
    return _table(("parameter", "default", "allowed", "meaning"), cells)


def _by_prefix(reasons: Iterable[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(reason.split("_")[0], []).append(reason)
    return list(groups.values())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page, or with --check reports whether the file is up to date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_FILE, help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when the file is out of date")
    parser.add_argument("--contract", type=Path, default=DEFAULT_CONTRACT, help="default: %(default)s")
    options = parser.parse_args(arguments)
    text = page(load_contract(options.contract))
    if not options.check:
        options.file.write_text(text)
        return 0
    if options.file.exists() and options.file.read_text() == text:
        return 0
    print(
        f"{options.file} is out of date: python -m apo_teleop.arbiter.transition_docs {options.file}", file=sys.stderr
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
