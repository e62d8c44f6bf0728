import pytest

from apo_bringup.cli import main


def test_help_lists_the_jobs(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for job in ("demo", "up", "base-policy", "train"):
        assert job in text


def test_a_wrong_session_parameter_names_itself_its_limit_and_the_file(capsys):
    assert main(["demo", "--set", "rounds=0"]) == 2
    text = capsys.readouterr().err
    assert "session.yaml" in text
    assert "rounds = 0 is below its limit 1" in text


def test_an_unknown_option_is_an_error(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--fast"])
    assert exit_.value.code == 2
    assert "--fast" in capsys.readouterr().err
