import io
import os
import pty
import termios
import tty

import pytest

from apo_core.system.terminal import LiveLine, kept_terminal


def test_without_a_terminal_only_notes_are_written():
    stream = io.StringIO()
    line = LiveLine(stream, live=False)
    line.update("step 1")
    line.note("done")
    assert stream.getvalue() == "done\n"


def test_a_note_clears_the_live_line():
    stream = io.StringIO()
    line = LiveLine(stream, live=True)
    line.update("step 1")
    line.note("done")
    assert stream.getvalue() == "\r\x1b[2Kstep 1\r\x1b[2Kdone\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_rewritten():
    stream = Terminal()
    line = LiveLine(stream)
    line.update("1 of 2")
    line.update("2 of 2")
    line.note("done")
    assert stream.getvalue() == "\r\x1b[2K1 of 2\r\x1b[2K2 of 2\r\x1b[2Kdone\n"


def test_a_file_repeats_progress_every_few_seconds():
    stream, times = io.StringIO(), iter([0.0, 0.0, 9.0, 10.0, 10.0])
    line = LiveLine(stream, repeat_s=10.0, clock=lambda: next(times))
    for text in ("1 of 3", "2 of 3", "3 of 3"):
        line.update(text)
    line.note("done")
    assert stream.getvalue() == "1 of 3\n3 of 3\ndone\n"


def test_standard_output_is_that_of_the_moment(capsys):
    LiveLine().note("done")
    assert capsys.readouterr().out == "done\n"


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
