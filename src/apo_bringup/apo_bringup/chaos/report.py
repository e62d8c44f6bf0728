"""What a run of faults has shown: counts a fault and an invariant, memory of the nodes. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from apo_bringup.chaos.invariants import Violation
from apo_bringup.chaos.schedule import PlannedFault
from apo_core.system.text_columns import align_columns

_LISTED = 5  # violations of one invariant under one fault that are listed; all are counted
_MIB = 1 << 20
GROWTH_LIMIT = 0.05  # of a node's memory after the warm-up


@dataclass(slots=True)
class FaultRecord:
    """What came of one fault."""

    planned: PlannedFault
    applied: bool = False
    why_not: str = ""
    recovery_s: float | None = None  # None: the loop did not go on
    clears: int = 0  # latched faults that a person had to clear


@dataclass(slots=True)
class MemorySample:
    """Memory of a node's process."""

    t_s: float
    pid: int
    bytes: int


def memory_growth(samples: Sequence[MemorySample], warmup_s: float) -> dict[str, float] | None:
    """Growth of the process that lived longest, from the end of its warm-up to its end.

    Args:
        samples: of one node, in order of time.
        warmup_s: s after the start of a process that are left out.

    Returns:
        Seconds judged, MiB at their begin and end (medians of their first and last tenth) and the growth as a share;
        None where no process outlived the warm-up by at least as many samples as make two tenths.
    """
    lives: dict[int, list[MemorySample]] = defaultdict(list)
    for sample in samples:
        if sample.bytes:
            lives[sample.pid].append(sample)
    judged: list[MemorySample] = []
    for life in lives.values():
        rest = [sample for sample in life if sample.t_s - life[0].t_s >= warmup_s]
        if len(rest) >= 10 and (not judged or rest[-1].t_s - rest[0].t_s > judged[-1].t_s - judged[0].t_s):
            judged = rest
    if not judged:
        return None
    part = max(1, len(judged) // 10)
    begin, end = (median(sample.bytes for sample in some) for some in (judged[:part], judged[-part:]))
    return {
        "seconds": judged[-1].t_s - judged[0].t_s,
        "begin_mib": begin / _MIB,
        "end_mib": end / _MIB,
        "growth": end / begin - 1,
    }


@dataclass(slots=True)
class RunRecord:
    """Everything that a report is made of."""

    seed: int
    warmup_s: float
    skipped: dict[str, str]  # faults that this machine cannot have: what is missing
    faults: list[FaultRecord] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)  # invariant -> checks
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind of fault, invariant -> violations
    violations: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, list[MemorySample]] = field(default_factory=lambda: defaultdict(list))
    seen: Counter[str] = field(default_factory=Counter)  # files and steps that were checked
    outcomes: Counter[str] = field(default_factory=Counter)  # of training runs, episodes, adapters
    largest_gap_ms: float = 0.0
    seconds: float = 0.0
    stopped: str = ""  # why the run ended early

    def add(self, violation: Violation) -> bool:
        """Takes a violation, which counts for the newest fault; returns whether it is listed."""
        fault = self.faults[-1].planned if self.faults else None
        kind, index = (fault.kind, fault.index) if fault else ("none", -1)
        self.counts[kind, violation.invariant] += 1
        same = [v for v in self.violations if (v["fault"], v["invariant"]) == (index, violation.invariant)]
        if len(same) >= _LISTED:
            return False
        listed = {"fault": index, "what": fault.text if fault else "before the first fault"}
        self.violations.append({**listed, **asdict(violation)})
        return True

    @property
    def failed(self) -> bool:
        """Whether something was violated, or a run was cut short, or memory grew."""
        grown = [g for g in self._growth().values() if g is not None and g["growth"] > GROWTH_LIMIT]
        return bool(self.counts or self.stopped or grown)

    def _growth(self) -> dict[str, dict[str, float] | None]:
        return {name: memory_growth(samples, self.warmup_s) for name, samples in self.memory.items()}

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        kinds: dict[str, Any] = {}
        for record in self.faults:
            row = kinds.setdefault(record.planned.kind, {"planned": 0, "applied": 0, "recovered": 0, "clears": 0})
            row["planned"] += 1
            row["applied"] += record.applied
            row["recovered"] += record.applied and record.recovery_s is not None
            row["clears"] += record.clears
        for kind, row in kinds.items():
            times = [r.recovery_s for r in self.faults if r.planned.kind == kind and r.recovery_s is not None]
            row |= {"recovery_median_s": median(times) if times else None, "recovery_max_s": max(times, default=None)}
            row["violations"] = {name: n for (of, name), n in self.counts.items() if of == kind}
        invariants = {
            name: {
                "checked": self.checked[name],
                "violations": sum(n for (_, of), n in self.counts.items() if of == name),
            }
            for name in sorted({*self.checked, *(name for _, name in self.counts)})
        }
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "faults_applied": sum(record.applied for record in self.faults),
            "violations_total": sum(self.counts.values()),
            "skipped": self.skipped,
            "not_applied": [f"{r.planned.index} {r.planned.text}: {r.why_not}" for r in self.faults if not r.applied],
            "kinds": kinds,
            "invariants": invariants,
            "largest_gap_ms": self.largest_gap_ms,
            "files": dict(self.seen),
            "outcomes": dict(self.outcomes),
            "memory": self._growth(),
            "memory_last_mib": {name: s[-1].bytes / _MIB for name, s in self.memory.items() if s},
            "violations": self.violations,
            "schedule": [asdict(r.planned) | {"recovery_s": r.recovery_s} for r in self.faults],
        }


def _cell(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else format(value, form)


def format_report(report: Mapping[str, Any]) -> str:
    """The report for people: a table of faults, one of invariants, one of memory."""
    rows: list[tuple[str, ...]] = [("fault", "applied", "recovered", "median s", "max s", "cleared", "violations")]
    for kind, row in sorted(report["kinds"].items()):
        times = (_cell(row["recovery_median_s"]), _cell(row["recovery_max_s"]))
        counts = (f"{row['applied']}/{row['planned']}", str(row["recovered"]))
        rows.append((kind, *counts, *times, str(row["clears"]), str(sum(row["violations"].values()))))
    lines = align_columns(rows, left=1)
    rows = [("invariant", "checked", "violations")]
    rows += [(name, str(row["checked"]), str(row["violations"])) for name, row in report["invariants"].items()]
    lines += ["", *align_columns(rows, left=1)]
    rows = [("memory", "s judged", "MiB", "growth %")]
    for name, growth in report["memory"].items():
        last = _cell(report["memory_last_mib"].get(name), ".0f")
        judged = _cell(growth and growth["seconds"], ".0f")
        rows.append((name, judged, last, _cell(growth and 100 * growth["growth"])))
    lines += ["", *align_columns(rows, left=1), ""]
    lines += [f"skipped: {name}: needs {what}" for name, what in report["skipped"].items()]
    lines += [f"not applied: {text}" for text in report["not_applied"]]
    for violation in report["violations"]:
        where = f"fault {violation['fault']} ({violation['what']})"
        lines.append(f"VIOLATION {violation['invariant']}: {where}: {violation['text']}")
    if report["stopped"]:
        lines.append(f"stopped early: {report['stopped']}")
    files = report["files"]
    lines.append(
        f"seed {report['seed']}, {report['seconds']:.0f} s, {report['faults_applied']} faults, "
        f"{report['violations_total']} violations; {files.get('episodes', 0)} episode files with "
        f"{files.get('compared', 0)} steps compared ({files.get('unseen', 0)} unseen), "
        f"{files.get('adapters', 0)} adapters"
    )
    return "\n".join(lines)
