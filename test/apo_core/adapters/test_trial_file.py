"""The file of a trial, and who holds it."""

import json
import subprocess
import sys

import pytest

from apo_core.adapters.trial import ShadowCounts, Trial, TrialLimits, TrialOutcome
from apo_core.adapters.trial_file import claimed, from_document, read_trial, to_document, write_trial
from apo_core.errors import AdapterError

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def trial() -> Trial:
    """Adapter 7 beside adapter 4, with an episode that counts, a void one and a draw."""
    begun = Trial(7, 4, 12, TrialLimits(shadow_steps=10)).shadowed(ShadowCounts(10, 0.25, 4, 0.5, 0.75))
    counted = begun.drawn(0.0, NOW).begun("e1").ended("e1", TrialOutcome.SUCCESS, 1, NOW, (7,))
    return counted.drawn(0.9, NOW).begun("e2").ended("e2", TrialOutcome.VOID, 0, NOW).drawn(0.2, NOW)


def test_a_trial_survives_its_file(trial, tmp_path):
    write_trial(tmp_path, trial)
    assert read_trial(tmp_path, 7) == trial
    assert read_trial(tmp_path, 8) is None and read_trial(tmp_path / "none", 7) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "done"}, "stage = 'done' must be one of shadow, canary"),
        ({"candidate": -1}, "candidate = -1 must be 0"),
        ({"sequence": 1.5}, "sequence = 1.5 must be a count"),
        ({"limits": 3}, "limits must be an object of shadow_steps, trial_alpha"),
        ({"shadow": {"steps": 1}}, "shadow.corrections is missing"),
        ({"episodes": [{"version": True}]}, r"episodes\[0\].drawn_utc is missing"),
        ({"episodes": 10_001 * [{}]}, "episodes must be a list of at most 10000"),
        ({"reason": 1025 * "x"}, "reason must be a text of at most 1024 characters"),
        ({"extra": 1}, "extra is unknown"),
        ({"schema_version": 2}, "schema is 'apo.trial' 2"),
    ],
)
def test_a_damaged_file_is_rejected_by_what_is_wrong(trial, tmp_path, change, message):
    document = json.loads(json.dumps(to_document(trial))) | change
    with pytest.raises(AdapterError, match=message):
        from_document(document)
    write_trial(tmp_path, trial)
    (tmp_path / "trials" / "000007.json").write_text(json.dumps(document))
    with pytest.raises(AdapterError, match=r"000007.json is rejected"):
        read_trial(tmp_path, 7)


@pytest.mark.parametrize(("name", "value"), [("trial_share", 1.0), ("trial_alpha", 0), ("shadow_steps", "10")])
def test_limits_beyond_their_ranges_are_rejected(trial, name, value):
    document = json.loads(json.dumps(to_document(trial)))
    document["limits"][name] = value
    with pytest.raises(AdapterError, match=f"limits: {name} = "):
        from_document(document)


def test_the_file_of_another_candidate_is_rejected(trial, tmp_path):
    write_trial(tmp_path, trial)
    (tmp_path / "trials" / "000007.json").rename(tmp_path / "trials" / "000008.json")
    with pytest.raises(AdapterError, match="is of adapter 7"):
        read_trial(tmp_path, 8)


def test_one_process_at_a_time_holds_a_trial(tmp_path):
    other = (
        "import sys; from pathlib import Path; from apo_core.adapters.trial_file import claimed\n"
        "with claimed(Path(sys.argv[1]), int(sys.argv[2])) as held: print(held)"
    )

    def held_by_another(candidate: int) -> str:
        command = [sys.executable, "-c", other, str(tmp_path), str(candidate)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with claimed(tmp_path, 7) as held:
        assert held
        assert held_by_another(7) == "False" and held_by_another(8) == "True"
    assert held_by_another(7) == "True"
