import pytest

from apo_recorder.stream_counts import StreamCounts

MS = 1_000_000


@pytest.fixture
def count():
    """(stamps in ms, rate) -> counts of a stream with these."""

    def run(stamps_ms, rate_hz=10.0):
        counts = StreamCounts({"front": rate_hz})
        for stamp in stamps_ms:
            counts.add("front", round(stamp * MS))
        return counts.counts()["front"]

    return run


def test_a_whole_stream(count):
    expected = {"received": 5, "duplicates": 0, "out_of_order": 0, "gaps": 0, "dropped": 0, "refused": 0}
    assert count([0, 100, 200, 300, 400]) == expected | {"rate_hz": 10.0}


@pytest.mark.parametrize(
    ("stamps", "gaps", "dropped"),
    [
        ([0, 100, 300, 400], 1, 1),
        ([0, 300, 400, 900], 2, 6),
        ([0, 149, 250], 0, 0),  # late, not missing
        ([0, 151, 300], 1, 1),
    ],
)
def test_missing_messages_follow_from_the_rate(count, stamps, gaps, dropped):
    found = count(stamps)
    assert (found["gaps"], found["dropped"]) == (gaps, dropped)


def test_without_a_stated_rate_the_median_counts(count):
    found = count([0, 50, 100, 150, 250, 300], rate_hz=0.0)
    assert (found["rate_hz"], found["gaps"], found["dropped"]) == (20.0, 1, 1)


@pytest.mark.parametrize("stamps", [[], [5]])
def test_too_little_to_measure_a_rate(count, stamps):
    found = count(stamps, rate_hz=0.0)
    assert (found["rate_hz"], found["gaps"], found["received"]) == (0.0, 0, len(stamps))


def test_duplicates_and_late_messages_are_no_gaps(count):
    found = count([0, 100, 100, 200, 150, 300])
    assert (found["duplicates"], found["out_of_order"], found["gaps"], found["received"]) == (1, 1, 0, 6)


def test_clock_set_back_begins_anew(count):
    found = count([5000, 5100, 0, 100, 200])
    assert (found["out_of_order"], found["gaps"]) == (1, 0)


def test_restart_forgets():
    counts = StreamCounts({"front": 10.0, "pose": 0.0})
    counts.add("front", 0)
    counts.add_rejected("pose")
    assert counts.counts()["pose"]["refused"] == 1
    counts.restart()
    assert {name: found["received"] + found["refused"] for name, found in counts.counts().items()} == {
        "front": 0,
        "pose": 0,
    }
