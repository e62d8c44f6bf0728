import pytest

from apo_episodes.names import is_file_name


@pytest.mark.parametrize("name", ["lift-10003", "a", "20261130T081500_left.2", "x" * 128])
def test_a_name_that_any_file_system_takes(name):
    assert is_file_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "\u00fc1", "x" * 129, "a\x00"])
def test_a_name_that_leads_elsewhere(name):
    assert not is_file_name(name)
