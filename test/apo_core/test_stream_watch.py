import pytest

from apo_core.stream_watch import StreamWatch, missed

S = 1_000_000_000
T0 = 1000 * S


@pytest.fixture
def watch():
    return StreamWatch(("front", "ee_pose", "width"), 0.02)


def play(watch, seconds, stamps, period_ns=50_000_000):
    """Messages of each stream for some seconds; `stamps` has a function from arrival to stamp for each."""
    for now_ns in range(T0, T0 + round(seconds * S) + 1, period_ns):
        for stream, stamp in stamps.items():
            watch.add(stream, stamp(now_ns), now_ns)
    return T0 + round(seconds * S)


def same(now_ns):
    return now_ns


def test_nothing_is_wrong_while_observations_are_formed(watch):
    now_ns = play(watch, 10, {"front": same, "ee_pose": same, "width": same})
    watch.formed(now_ns)
    assert watch.faults(now_ns + 2_900_000_000) == {}


def test_a_stream_without_messages_is_named_after_three_seconds(watch):
    assert watch.faults(T0) == {}
    now_ns = play(watch, 2.9, {"ee_pose": same, "width": same})
    assert watch.faults(now_ns) == {}
    now_ns = play(watch, 4, {"ee_pose": same, "width": same})
    assert watch.faults(now_ns) == {"front": "no message for 4 s"}


def test_every_stream_that_ended_is_named(watch):
    now_ns = play(watch, 4, {"front": same, "ee_pose": same, "width": same})
    watch.formed(now_ns)
    found = watch.faults(now_ns + 5 * S)
    assert found == dict.fromkeys(("front", "ee_pose", "width"), "no message for 5 s")


@pytest.mark.parametrize(
    ("stamp", "fault"),
    [
        (lambda now_ns: 0, "its stamps are 0: the driver must set header.stamp"),
        (lambda now_ns: 990 * S, "its stamp does not change: the driver must set header.stamp in every message"),
        (lambda now_ns: now_ns - 900 * S, "its stamps are 900.0 s behind the ROS clock: synchronise the clocks"),
        (
            lambda now_ns: now_ns + 10**9 * S,
            "its stamps are 1000000000.0 s ahead of the ROS clock: give its node and this one the same use_sim_time",
        ),
        (lambda now_ns: now_ns + 2 * S, "its stamps are 2.0 s ahead of the ROS clock"),
    ],
)
def test_stamps_that_are_off_are_named(watch, stamp, fault):
    now_ns = play(watch, 4, {"front": stamp, "ee_pose": same, "width": same})
    found = watch.faults(now_ns)
    assert list(found) == ["front"] and found["front"].startswith(fault)


def test_stamps_beyond_the_tolerance_of_each_other_are_named(watch):
    late = lambda now_ns: now_ns - 25_000_000  # noqa: E731
    now_ns = play(watch, 4, {"front": late, "ee_pose": same, "width": same})
    assert watch.faults(now_ns) == {
        "front": "its stamps are never within tolerance_s = 0.02 of those of 'ee_pose': the closest are 25 ms apart"
    }


def test_nothing_is_late_while_simulated_time_stands_still(watch):
    now_ns = play(watch, 1, {"front": same, "ee_pose": same, "width": same})
    watch.formed(now_ns)
    for _ in range(100):
        assert watch.faults(now_ns) == {}


def test_ages_begin_anew_when_the_clock_is_set_back(watch):
    now_ns = play(watch, 4, {"ee_pose": same, "width": same})
    assert watch.faults(now_ns)
    assert watch.faults(now_ns - 500 * S) == {}
    assert watch.faults(now_ns - 496 * S) == dict.fromkeys(("front", "ee_pose", "width"), "no message for 4 s")


def fast_and_slow(watch, seconds, slow_every):
    """20 messages a second of two streams, every nth of the third, which alone completes an observation."""
    for tick in range(20 * seconds + 1):
        now_ns = T0 + tick * S // 20
        for name in ("ee_pose", "width", *["front"] * (tick % slow_every == 0)):
            watch.add(name, now_ns, now_ns)
        if tick % slow_every == 0:
            watch.formed(now_ns)
    return T0 + seconds * S


@pytest.mark.parametrize(("slow_every", "hz"), [(40, "0.7"), (20, "1.0"), (3, "6.7"), (2, ""), (1, "")])
def test_a_stream_far_below_the_rate_is_named_after_three_seconds(slow_every, hz):
    watch = StreamWatch(("front", "ee_pose", "width"), 0.02, 20.0)
    now_ns = fast_and_slow(watch, 4, slow_every)
    expected = (
        f"comes too seldom, at {hz} Hz: raise the rate of its driver, or lower rate_hz = 20 (config/contract.yaml)"
    )
    assert watch.faults(now_ns) == ({"front": expected} if hz else {})
    assert watch.faults(now_ns - 1_100_000_000) == {}


def test_a_camera_that_starts_late_is_not_called_slow():
    watch = StreamWatch(("front", "ee_pose"), 0.02, 20.0)
    for tick in range(20 * 9):
        now_ns = T0 + tick * S // 20
        watch.add("ee_pose", now_ns, now_ns)
        if tick >= 100:
            watch.add("front", now_ns, now_ns)
            watch.formed(now_ns)
            assert watch.faults(now_ns) == {}
    assert now_ns - T0 > 8 * S


def test_streams_that_are_slow_together_are_not_named():
    watch = StreamWatch(("front", "ee_pose"), 0.02, 20.0)
    for second in range(8):
        now_ns = T0 + second * S
        for name in ("front", "ee_pose"):
            watch.add(name, now_ns, now_ns)
        watch.formed(now_ns)
    assert watch.faults(now_ns) == {}


def test_stamps_of_a_fast_stream_are_compared_for_as_long_as_of_a_slow_one():
    watch = StreamWatch(("front", "joints"), 0.02)
    for tick in range(4000):
        now_ns = T0 + tick * S // 1000
        watch.add("joints", now_ns, now_ns)
        if tick % 50 == 0:
            watch.add("front", now_ns - 150_000_000, now_ns)
    assert watch.faults(now_ns) == {}


def test_few_observations_are_named_apart_from_none():
    assert missed("") == ""
    assert missed("topic a ('a'): no message for 4 s") == "no observation: topic a ('a'): no message for 4 s"
    seldom = "topic a ('a'): comes too seldom, at 1.0 Hz"
    assert missed(seldom) == f"few observations: {seldom}"
