"""When the background process of the recorder runs, and what it is reported to be, without a process."""

import pytest

from apo_recorder.background.job import Job, UploadJob, VideoJob
from apo_recorder.background.progress import Progress
from apo_recorder.background.supervision import Supervision

ADVICE = "recording goes on; check network, credentials and the parameters upload_* in config/recorder.yaml"

UPLOAD = Job("runs/episodes", 10.0, UploadJob("s3://b", "arm1"))
VIDEO = Job("runs/episodes", 10.0, None, VideoJob(600.0, 20, 10, 38.0, 7.0))


def line(**fields) -> str:
    return Progress(**fields).to_json()


@pytest.fixture
def running() -> Supervision:
    """A child that was started at 100 s."""
    made = Supervision(UPLOAD)
    made.on_started(71, 100.0)
    return made


def test_a_child_is_due_at_once_and_not_while_it_runs():
    supervision = Supervision(UPLOAD)
    assert supervision.is_due(0.0)
    supervision.on_started(71, 0.0)
    assert not supervision.is_due(1e9)
    assert (supervision.state(0.0).text, supervision.state(0.0).fault) == ("starts", "")


def test_counts_are_shown(running):
    running.on_line(line(uploaded=4, waiting=2, sent_bytes=3_500_000), 101.0)
    state = running.state(102.0)
    assert (state.text, state.fault) == ("episodes: 4 uploaded, 2 waiting", "")
    assert state.values == {
        "pid": "71",
        "process_starts": "1",
        "uploaded": "4",
        "waiting": "2",
        "left_out": "0",
        "sent_mb": "3.5",
    }


def test_a_store_that_fails_is_a_fault_until_it_works(running):
    running.on_line(line(is_looking=True, waiting=1, fault="s3://b: cannot write x: timeout"), 101.0)
    state = running.state(101.0)
    assert state.fault == f"s3://b: cannot write x: timeout; it is tried again, {ADVICE}"
    assert state.text == f"episodes: 0 uploaded, 1 waiting: {state.fault}"
    running.on_line(line(is_looking=True, waiting=1), 102.0)
    assert running.state(102.0).fault == ""


def test_episodes_that_are_left_out_are_a_fault_with_the_first_reason(running):
    running.on_line(line(uploaded=3, left_out=2, left_out_because="e1.h5: changed while it was read"), 101.0)
    assert running.state(101.0).fault == "episodes left out: 2, the first e1.h5: changed while it was read"


def test_counts_of_video_are_shown():
    supervision = Supervision(VIDEO)
    supervision.on_started(71, 100.0)
    supervision.on_line(line(video=3, lossless=2, saved_bytes=3_500_000), 101.0)
    state = supervision.state(101.0)
    assert (state.text, state.fault) == ("episodes: 3 video, 2 to become video", "")
    figures = {"video": "3", "lossless": "2", "kept_lossless": "0", "saved_mb": "3.5"}
    assert state.values == {"pid": "71", "process_starts": "1", **figures}
    both = Supervision(Job("runs/episodes", 10.0, UPLOAD.upload, VIDEO.video))
    assert both.state(0.0).values.keys() > figures.keys() | {"uploaded"}
    both.on_line(line(video=3, uploaded=2), 101.0)
    assert both.state(101.0).text == "episodes: 3 video, 0 to become video; 2 uploaded, 0 waiting"


def test_faults_of_video_are_shown():
    supervision = Supervision(VIDEO)
    supervision.on_started(71, 100.0)
    supervision.on_line(line(lossless=1, video_fault="e1.h5: No space left on device"), 101.0)
    assert supervision.state(101.0).fault == "e1.h5: No space left on device; it is tried again, recording goes on"
    supervision.on_line(line(kept=2, kept_because="e1.h5: camera 'wrist' would have 36.2 dB"), 102.0)
    assert supervision.state(102.0).fault == (
        "episodes that stay lossless: 2, the first e1.h5: camera 'wrist' would have 36.2 dB; see the parameters "
        "video_* in config/recorder.yaml"
    )
    supervision.on_line(line(is_looking=True), 200.0)
    assert supervision.state(320.0).fault == (
        "it does nothing; recording goes on; see the parameters video_* in config/recorder.yaml"
    )


def test_waits_between_starts_double_up_to_a_minute():
    supervision, now_s, waits = Supervision(UPLOAD), 0.0, []
    for _ in range(8):
        supervision.on_started(71, now_s)
        supervision.on_ended(1, now_s)
        due_s = next(now_s + wait for wait in (1, 2, 4, 8, 16, 32, 60) if supervision.is_due(now_s + wait))
        assert not supervision.is_due(due_s - 0.01)
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_reason_of_an_end_stays_until_a_look_is_done(running):
    for text in ("Traceback (most recent call last):", "  File ...", "", "ImportError: no s3fs"):
        running.on_line(text, 101.0)
    running.on_ended(1, 102.0)
    assert running.state(102.0).text == (
        "starts again in 1 s, episodes: 0 uploaded, 0 waiting: the process ended with exit status 1: "
        f"ImportError: no s3fs; {ADVICE}"
    )
    running.on_started(72, 103.0)
    running.on_line(line(is_looking=True, waiting=1), 104.0)
    assert running.state(104.0).fault.startswith("the process ended with exit status 1")
    running.on_line(line(uploaded=1), 105.0)
    assert (running.state(105.0).fault, running.state(105.0).values["process_starts"]) == ("", "2")
    running.on_ended(-9, 106.0)
    assert running.is_due(107.0)  # a look that was done ends the longer waits
    assert running.state(106.0).fault == f"the process ended with signal SIGKILL; {ADVICE}"


def test_a_start_that_fails_is_tried_again():
    supervision = Supervision(UPLOAD)
    supervision.on_failed("cannot be started: [Errno 11] Resource temporarily unavailable", 5.0)
    assert not supervision.is_due(5.9) and supervision.is_due(6.0)
    assert supervision.state(5.0).fault.startswith("the process cannot be started: [Errno 11]")


def test_a_child_that_is_silent_at_work_is_a_fault_and_killed_at_last(running):
    running.on_line(line(is_looking=True, uploaded=1, waiting=1), 200.0)
    assert running.state(319.0).fault == ""
    state = running.state(320.0)
    assert state.text == f"silent for 120 s, episodes: 1 uploaded, 1 waiting: the store does not answer; {ADVICE}"
    assert not running.is_hung(1999.0) and running.is_hung(2000.0)
    running.on_ended(-9, 2001.0)
    assert running.state(2001.0).fault == f"the process did nothing for 30 min and was killed; {ADVICE}"


def test_a_child_that_waits_for_its_next_look_may_be_silent(running):
    running.on_line(line(uploaded=1), 200.0)
    assert running.state(86_000.0).fault == "" and not running.is_hung(86_000.0)


def test_a_child_that_is_silent_from_its_start_is_killed_too(running):
    running.on_line(line(uploaded=1), 200.0)
    running.on_ended(-9, 201.0)
    running.on_started(72, 202.0)
    assert not running.is_hung(2001.0) and running.is_hung(2002.0)


def test_the_fault_of_a_store_is_shown_while_it_is_tried_again(running):
    running.on_line(line(is_looking=True, fault="s3://b: cannot write x: timeout"), 101.0)
    assert running.state(400.0).fault.startswith("s3://b: cannot write x: timeout")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"uploaded": 1, "colour": 2}', "a warning of a library"])
def test_lines_that_are_no_progress_change_nothing(running, text):
    running.on_line(line(uploaded=7), 101.0)
    running.on_line(text, 102.0)
    assert running.state(102.0).values["uploaded"] == "7"
