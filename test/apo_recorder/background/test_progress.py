"""The lines that the background process prints."""

from apo_recorder.background.progress import Progress


def test_progress_comes_back_from_its_line():
    progress = Progress(True, 3, 2, 1000, 1, "e1.h5: two\nlines", "cannot write")
    assert "\n" not in progress.to_json()
    assert Progress.from_line(f"{progress.to_json()}\n") == progress


def test_any_other_line_is_none():
    assert Progress.from_line("Traceback (most recent call last):") is None
    assert Progress.from_line('{"level": "info"}') is None
