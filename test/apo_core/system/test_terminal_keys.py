"""Keys from the text of a terminal."""

import pytest

from apo_core.system.terminal_keys import TerminalKeys

MS = 1_000_000


def keys(text: str) -> list[str]:
    return list(TerminalKeys().read(text, 0))


def test_letters_are_lower_case_and_arrows_have_names():
    assert keys("wC0 ?") == ["w", "c", "0", " ", "?"]
    assert keys("\x1b[A\x1b[B\x1bOC\x1b[Dw") == ["up", "down", "right", "left", "w"]


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[1;2C",  # Shift-Right
        "\x1b[1;5B",  # Ctrl-Down
        "\x1b[1;3D",  # Alt-Left
        "\x1b[c",  # Shift-Right of rxvt
        "\x1bOc",  # Ctrl-Right of rxvt
        "\x1b[20~",  # F9
        "\x1b[[C",  # F3 of the Linux console
        "\x1bO2P",  # Shift-F1
        "\x1b[3~",  # Delete
        "\x1b[?1;2c",  # the terminal reports its type
        "\x1b[Z",  # Shift-Tab
    ],
)
def test_letters_and_digits_of_other_sequences_are_not_keys(sequence):
    assert keys(f"{sequence}w") == ["w"]
    one_by_one = TerminalKeys()
    assert [key for letter in f"{sequence}w" for key in one_by_one.read(letter, 0)] == ["w"]


def test_an_escape_before_another_key_is_dropped():
    assert keys("\x1b0") == ["0"]
    assert keys("\x1b\x1b[A") == ["up"]
    assert keys("\x1b[\n0") == ["[", "\n", "0"]


def test_a_beginning_swallows_no_later_key():
    typed = TerminalKeys()
    assert list(typed.read("\x1b[", 0)) == []
    assert list(typed.read("0", 400 * MS)) == []
    assert list(typed.read("0", 501 * MS)) == ["0"]
