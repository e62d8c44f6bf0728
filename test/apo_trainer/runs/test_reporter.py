"""Reports of a run to programs and to people."""

import io
import json
import os

import pytest

from apo_trainer.runs.reporter import RunReporter

PROGRESS = {"event": "progress", "steps": 10, "loss": 0.5, "z0": 0.25, "log_ratio": {"HUMAN": 1.5, "EXPERT": None}}
START = {"event": "start", "train_episodes": 3, "train_samples": {"HUMAN": 7}, "rejected_files": [], "notes": []}
RESULT = {
    "event": "result",
    "state": "PUBLISHED",
    "message": "published adapter 1",
    "steps": 10,
    "seconds": 1.0,
    "notes": [],
    "verdict": None,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def test_people_get_lines_where_there_is_no_terminal(out):
    err = io.StringIO()
    report = RunReporter(0.0, out, err)
    report(START)
    report({**PROGRESS, "step": 10, "eta_s": 0.0})
    report(RESULT)
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["start", "progress", "result"]
    assert err.getvalue().splitlines() == [
        "training on 3 episodes: 7 human samples",
        "step 10/10  loss 0.5000  z0 0.25  log-ratio human +1.50  eta 0 s",
        "PUBLISHED: published adapter 1 (10 steps, 1.0 s)",
    ]


def test_a_note_is_shown_once(out):
    err = io.StringIO()
    report = RunReporter(0.0, out, err)
    report({"event": "note", "text": "no server"})
    report({**RESULT, "notes": ["few steps", "no server"]})
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["note", "result"]
    assert err.getvalue().splitlines() == [
        "note: no server",
        "note: few steps",
        "PUBLISHED: published adapter 1 (10 steps, 1.0 s)",
    ]


def test_rejected_files_are_named(out):
    err = io.StringIO()
    rejected = [{"path": f"{name}.h5", "reason": why} for name, why in (("a", "broken"), ("b", "other"), ("c", "other"))]
    RunReporter(0.0, out, err)({**START, "rejected_files": rejected})
    assert err.getvalue().splitlines()[1:] == ["rejected: a.h5: broken", "rejected: b.h5 and 1 more: other"]
    assert json.loads(out.getvalue())["rejected_files"] == rejected


@pytest.mark.parametrize(
    ("tokens", "lines"),
    [
        ({"recorded": 5, "encoded": 3, "disagreeing": 0}, []),
        (
            {"recorded": 5, "encoded": 3, "disagreeing": 2},
            ["note: recorded tokens of 2 policy steps mean another action: not used"],
        ),
    ],
)
def test_recorded_tokens_of_another_action_are_named(out, tokens, lines):
    err = io.StringIO()
    RunReporter(0.0, out, err)({**START, "policy_tokens": tokens})
    assert err.getvalue().splitlines()[1:] == lines


def test_notes_of_data_and_gate_are_printed(out):
    err = io.StringIO()
    report = RunReporter(0.0, out, err)
    report({**START, "notes": ["no EXPERT sample: its share went to the others"]})
    report({**RESULT, "verdict": {"notes": ["too few to judge"]}})
    assert err.getvalue().splitlines() == [
        "training on 3 episodes: 7 human samples",
        "note: no EXPERT sample: its share went to the others",
        "note: too few to judge",
        "PUBLISHED: published adapter 1 (10 steps, 1.0 s)",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left(out):
    err = Terminal()
    report = RunReporter(0.0, out, err)
    for step in (1, 5, 10):
        report({**PROGRESS, "step": step, "eta_s": 1.0})
    report(RESULT)
    text = err.getvalue()
    assert "training: 100%" in text
    assert "10/10" in text
    assert "loss 0.5000" in text
    assert text.splitlines()[-1] == "PUBLISHED: published adapter 1 (10 steps, 1.0 s)"


def test_a_terminal_gets_no_json():
    terminal = Terminal()
    report = RunReporter(0.0, terminal, io.StringIO())
    for message in (START, {**PROGRESS, "step": 10, "eta_s": 0.0}, RESULT):
        report(message)
    assert terminal.getvalue() == ""


def test_checking_of_files_is_printed_on_stderr_alone(out):
    err = io.StringIO()
    RunReporter(0.0, out, err)({"event": "check", "done": 40, "files": 107})
    assert (out.getvalue(), err.getvalue()) == ("", "checking episode files: 40 of 107\n")


def test_a_run_goes_on_when_nobody_reads_it_any_more():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        os.close(reader)
        err = io.StringIO()
        report = RunReporter(0.0, pipe, err)
        report(START)
        report(RESULT)
    assert "PUBLISHED" in err.getvalue()


def test_progress_is_reported_once_an_interval_and_at_the_end(out):
    report = RunReporter(1e6, out, io.StringIO())
    for step in range(1, 11):
        report({**PROGRESS, "step": step, "eta_s": 1.0})
    assert [json.loads(line)["step"] for line in out.getvalue().splitlines()] == [1, 10]


def test_takeovers_without_the_facts_of_the_rule_are_noted(out):
    err = io.StringIO()
    windows = {"rule": "stalled", "number": 3, "fallbacks": 2}
    for changes in ({"undesirable_windows": windows}, {"undesirable_windows": {**windows, "fallbacks": 0}}):
        RunReporter(0.0, out, err)({**START, **changes, "k_fit": None})
    assert [line for line in err.getvalue().splitlines() if "note" in line] == [
        "note: 2 of 3 takeovers lack what stalled needs: last_k"
    ]
