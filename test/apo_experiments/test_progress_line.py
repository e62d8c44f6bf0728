"""The line of progress, on a terminal and elsewhere."""

import io

from apo_experiments.progress_line import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_has_one_line_that_is_rewritten():
    stream = Terminal()
    line = ProgressLine(stream)
    line.update("1 of 2")
    line.update("2 of 2")
    line.done("done")
    assert stream.getvalue() == "\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[Kdone\n"


def test_file_has_a_line_every_few_seconds_and_the_last():
    stream = io.StringIO()
    line = ProgressLine(stream, every_s=3600.0)
    line.update("1 of 3")
    line.update("2 of 3")
    line.done("3 of 3")
    assert stream.getvalue() == "1 of 3\n3 of 3\n"
