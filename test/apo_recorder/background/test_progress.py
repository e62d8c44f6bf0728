"""The lines that the background process prints."""

from apo_recorder.background.progress import Progress, ProgressReport


def test_progress_comes_back_from_its_line():
    progress = Progress(True, 3, 2, 1000, 1, "e1.h5: two\nlines", "cannot write", 1, 2, 3, "noise", 9, "full")
    assert "\n" not in progress.to_json()
    assert Progress.from_line(f"{progress.to_json()}\n") == progress


def test_any_other_line_is_none():
    assert Progress.from_line("Traceback (most recent call last):") is None
    assert Progress.from_line('{"level": "info"}') is None


def test_changes_of_several_parts_are_reported_together():
    seen = []
    report = ProgressReport(seen.append)
    report.show(uploaded=3)
    report.show(video=2, lossless=1)
    report.show()
    assert seen == [Progress(uploaded=3)] + [Progress(uploaded=3, video=2, lossless=1)] * 2
    assert report.newest == seen[-1]
