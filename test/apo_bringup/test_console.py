import io

from apo_bringup.console import Console


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
