"""Messages of a page: what is read, and that nothing else is."""

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_console.protocol import Input, Pong, ProtocolError, Request, Shown, frame, ping, read_binary, read_text


def text(**changes) -> str:
    content = {"number": 3, "robot": 0, "action": "lease", "take_over": False}
    content.update(changes)
    return json.dumps(content)


def test_an_input_has_its_axes():
    data = bytes([1, 7, 0, 0, 0]) + struct.pack("<6f", 0.5, -1, 0, 0.25, 0, 0) + b"\x01"
    assert read_binary(data) == Input(7, (0.5, -1.0, 0.0, 0.25, 0.0, 0.0), True)
    assert not read_binary(data[:-1] + b"\x00").held


def test_answers_and_shown_frames_are_read():
    assert read_binary(bytes([2, 4, 1, 0, 0])) == Pong(260)
    assert read_binary(bytes([3, 0, 1, 9, 0, 0, 0])) == Shown(0, 1, 9)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x09\x00",
        bytes([2, 4, 1, 0, 0, 0]),
        bytes([1, 7, 0, 0, 0]) + struct.pack("<6f", float("nan"), 0, 0, 0, 0, 0) + b"\x00",
        bytes([1, 7, 0, 0, 0]) + struct.pack("<6f", float("inf"), 0, 0, 0, 0, 0) + b"\x00",
    ],
)
def test_other_bytes_are_rejected(data):
    with pytest.raises(ProtocolError):
        read_binary(data)


def test_a_request_has_its_fields():
    assert read_text(text()) == Request(3, 0, "lease", {"take_over": False})
    wanted = {"version": 4, "reason": "better \u2764 \U0001f916"}
    changed = json.dumps({"number": 1, "robot": 2, "action": "promote", **wanted})
    assert read_text(changed) == Request(1, 2, "promote", wanted)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "is no JSON"),
        ("[" * 4000, "is no JSON"),
        ("[]", "is no object"),
        (text(number=None), "without a number"),
        (text(number=-1), "without a number"),
        (text(number=True), "without a number"),
        (text(robot=256), "without a number and a robot"),
        (text(action="dance"), "unknown action 'dance'"),
        (text(action=["lease"]), "unknown action"),
        (text(take_over=1), "take_over is not a valid bool"),
        (text(more=1), r"lease has the fields \['take_over'\]"),
        (json.dumps({"number": 1, "robot": 0, "action": "lease"}), "lease has the fields"),
        (json.dumps({"number": 1, "robot": 0, "action": "release", "reason": "x" * 501}), "not a valid str"),
        (json.dumps({"number": 1, "robot": 0, "action": "release", "reason": "\udc80"}), "not a valid str"),
        (json.dumps({"number": 1, "robot": 0, "action": "release", "reason": "a\nb"}), "not a valid str"),
        pytest.param(text() + " " * 32768, "at most 32768", id="too long"),
    ],
)
def test_other_requests_are_rejected_with_their_reason(message, reason):
    with pytest.raises(ProtocolError, match=reason):
        read_text(message)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_rejected(data):
    with contextlib.suppress(ProtocolError):
        assert isinstance(read_binary(data), Input | Pong | Shown)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["number", "robot", "action", "take_over", "reason", "version", "name"])
VALUES = JSON | st.sampled_from(["lease", "estop", "promote"])


@given(st.text() | JSON.map(json.dumps) | st.dictionaries(NAMES, VALUES, max_size=6).map(json.dumps))
def test_any_text_is_read_or_rejected(message):
    with contextlib.suppress(ProtocolError):
        assert isinstance(read_text(message), Request)


def test_what_the_page_receives_begins_with_its_kind():
    assert ping(258) == bytes([5, 2, 1, 0, 0])
    sent = frame(0, 1, 513, -2, b"jpeg")
    assert sent == bytes([4, 0, 1, 1, 2, 0, 0]) + b"\xfe" + b"\xff" * 7 + b"jpeg"
