"""One figure of a benchmark and its JSON line."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

SKIPPED = 77  # exit status of a benchmark that cannot run on this machine, as automake has it


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value, what it is compared with in the same run, and the goal."""

    name: str
    value: float
    unit: str
    goal: float
    at_most: bool  # whether the goal is an upper limit; else a lower one
    n: int  # number of measurements behind it
    baseline: float | None = None  # the same of what it is compared with, same unit as `value` before the ratio
    ratio: float | None = None  # of the two, where the comparison is the figure

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def as_dict(self) -> dict[str, object]:
        """For the JSON line."""
        return dataclasses.asdict(self) | {"met": self.met}

    def emit(self) -> None:
        """Prints the JSON line. Raises ValueError when the value is not finite."""
        if not math.isfinite(self.value):
            raise ValueError(f"figure {self.name} = {self.value} must be finite")
        print(json.dumps(self.as_dict()), flush=True)

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""

        def number(value: float | None) -> str:
            return "" if value is None else f"{value:.4g}"

        sign = "<=" if self.at_most else ">="
        return (
            self.name,
            f"{number(self.value)} {self.unit}".strip(),
            number(self.baseline),
            number(self.ratio),
            f"{sign} {number(self.goal)}",
            "met" if self.met else "MISSED",
            str(self.n),
        )


def parse_figure(line: str) -> Figure:
    """The figure of a JSON line; raises ValueError for any other line."""
    values = json.loads(line)
    if not isinstance(values, dict) or "name" not in values:
        raise ValueError("not a figure")
    return Figure(**{field.name: values[field.name] for field in dataclasses.fields(Figure)})
