import io
import os
import pty
import termios
import tty

import pytest

from apo_bringup.console.display import Console, kept_terminal


def test_without_a_terminal_only_notes_are_written():
    stream = io.StringIO()
    console = Console(stream, live=False)
    console.update("step 1")
    console.note("done")
    assert stream.getvalue() == "done\n"


def test_a_note_clears_the_live_line():
    stream = io.StringIO()
    console = Console(stream, live=True)
    console.update("step 1")
    console.note("done")
    assert stream.getvalue() == "\r\x1b[2Kstep 1\r\x1b[2Kdone\n"


def test_a_terminal_is_given_back_as_it_was_whatever_happens():
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        with open(slave, closefd=False) as stream, pytest.raises(RuntimeError), kept_terminal(stream):
            tty.setraw(slave)
            raise RuntimeError
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_what_is_no_terminal_is_left_alone(tmp_path):
    with (tmp_path / "file").open("w") as file, kept_terminal(file):
        file.write("text")
    assert (tmp_path / "file").read_text() == "text"
    for nothing in (io.StringIO(), None):
        with kept_terminal(nothing):
            pass
