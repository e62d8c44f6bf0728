"""What the switch passes on, when, and what it drops."""

import pytest

from apo_bringup.chaos.machine.switch import Line, Switch

MACHINES = {5: "a", 6: "b", 7: "c"}


@pytest.fixture
def sent():
    return []


@pytest.fixture
def switch(sent):
    return Switch(MACHINES, 1, lambda port, frame: sent.append((port, frame)))


def test_a_frame_reaches_all_others_at_once(switch, sent):
    switch.on_frame(5, b"x", 0.0)
    assert sent == [(6, b"x"), (7, b"x")]
    assert switch.advance(0.0) is None and switch.dropped == 0


@pytest.mark.parametrize("machine", ["a", "b"])
def test_a_cut_line_passes_nothing_in_either_direction(switch, sent, machine):
    switch.set({machine: Line(cut=True), "c": Line(cut=True)})
    switch.on_frame(5, b"x", 0.0)
    switch.on_frame(6, b"y", 0.0)
    assert sent == [] and switch.dropped == 4


def test_frames_of_a_slow_line_come_in_time_and_order(switch, sent):
    switch.set({"b": Line(delay_s=0.1), "c": Line(cut=True)})
    for n in range(20):
        switch.on_frame(5, bytes([n]), n * 0.001)
    assert sent == []
    assert 0.08 < switch.advance(0.0) <= 0.12
    switch.advance(0.099)
    assert sent == []
    assert switch.advance(0.14) is None
    assert sorted(frame for _, frame in sent) == [bytes([n]) for n in range(20)]


def test_a_lossy_line_drops_its_share(switch, sent):
    switch.set({"b": Line(loss=0.3), "c": Line(cut=True)})
    for _ in range(1000):
        switch.on_frame(5, b"x", 0.0)
    assert 650 < len(sent) < 750
    assert switch.dropped == 2000 - len(sent)


def test_a_line_is_as_before_once_it_is_set_back(switch, sent):
    switch.set({"b": Line(cut=True)})
    switch.set({"b": Line()})
    switch.on_frame(5, b"x", 0.0)
    assert sent == [(6, b"x"), (7, b"x")]
