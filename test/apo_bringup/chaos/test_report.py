"""Counts, memory and text of a report."""

import pytest

from apo_bringup.chaos.invariants import Violation
from apo_bringup.chaos.report import FaultRecord, MemorySample, RunRecord, format_report, memory_growth
from apo_bringup.chaos.schedule import PlannedFault

MIB = 1 << 20


def fault(index: int, kind: str = "kill") -> PlannedFault:
    return PlannedFault(index, kind, "policy", "", 0.0, 0.5, 9)


def run_of(*faults: FaultRecord) -> RunRecord:
    made = RunRecord(seed=4, warmup_s=600.0, skipped={"disk_full": "root"})
    made.faults.extend(faults)
    return made


def test_counts_are_for_each_fault_and_invariant():
    record = run_of(FaultRecord(fault(0), applied=True, recovery_s=2.0, clears=1))
    record.add(Violation(1, "no_gap", "a"))
    record.faults.append(FaultRecord(fault(1, "stop"), applied=True))
    record.add(Violation(2, "no_gap", "b"))
    record.add(Violation(2, "goes_on", "c"))
    record.checked["no_gap"] = 50
    report = record.as_dict()
    assert report["kinds"]["kill"] == {
        "planned": 1,
        "applied": 1,
        "recovered": 1,
        "clears": 1,
        "recovery_median_s": 2.0,
        "recovery_max_s": 2.0,
        "violations": {"no_gap": 1},
    }
    assert report["kinds"]["stop"]["recovered"] == 0
    assert report["kinds"]["stop"]["violations"] == {"no_gap": 1, "goes_on": 1}
    assert report["invariants"]["no_gap"] == {"checked": 50, "violations": 2}
    assert report["faults_applied"] == 2
    assert report["violations_total"] == 3
    assert record.failed


def test_a_run_without_violation_has_not_failed():
    assert not run_of(FaultRecord(fault(0), applied=True, recovery_s=1.0)).failed


def test_of_many_equal_violations_five_are_listed_and_all_counted():
    record = run_of(FaultRecord(fault(0), applied=True))
    for t in range(20):
        record.add(Violation(t, "no_gap", "x"))
    report = record.as_dict()
    assert len(report["violations"]) == 5
    assert report["violations_total"] == 20


def samples(values: list[float], pid: int = 1, from_s: float = 0.0) -> list[MemorySample]:
    return [MemorySample(from_s + 60.0 * i, pid, round(value * MIB)) for i, value in enumerate(values)]


def test_growth_is_measured_after_the_warmup():
    growth = memory_growth(samples([10.0] * 10 + [100.0] * 10 + [110.0] * 10), 600.0)
    assert growth["begin_mib"] == 100.0
    assert growth["end_mib"] == 110.0
    assert growth["growth"] == pytest.approx(0.1)
    assert growth["seconds"] == 19 * 60.0


def test_a_process_that_ends_within_the_warmup_is_not_judged():
    assert memory_growth(samples([10.0] * 10) + samples([50.0] * 10, 2, 600.0), 600.0) is None
    assert memory_growth([], 600.0) is None


def test_growing_memory_fails_a_run():
    record = run_of(FaultRecord(fault(0), applied=True, recovery_s=1.0))
    record.memory["arbiter"] = samples([100.0] * 20 + [106.0] * 10)
    assert record.failed
    record.memory["arbiter"] = samples([100.0] * 20 + [104.0] * 10)
    assert not record.failed


def test_the_text_names_violations_and_what_was_skipped():
    record = run_of(FaultRecord(fault(0), applied=True, recovery_s=1.25))
    record.add(Violation(1, "no_gap", "300 ms"))
    record.faults.append(FaultRecord(fault(1, "disk_full"), why_not="no disk"))
    text = format_report(record.as_dict())
    assert "kill           1/1          1       1.2    1.2        0           1" in text
    assert "VIOLATION no_gap: fault 0 (kill policy 0.00 s): 300 ms" in text
    assert "skipped: disk_full: needs root" in text
    assert "not applied: 1 disk_full policy 0.00 s: no disk" in text
    assert "seed 4, 0 s, 1 faults, 1 violations" in text
