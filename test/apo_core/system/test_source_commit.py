import os
import subprocess

import pytest

from apo_core.system.source_commit import source_commit


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Runs git in a checkout whose only file is `a.py`, without the configuration of the machine."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)

    def run(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    run("add", "a.py")
    run("commit", "-q", "-m", "one")
    return run


def test_the_commit_of_a_tracked_file(git, tmp_path):
    git("tag", "v1")
    assert source_commit(tmp_path / "a.py") == git("rev-parse", "--short=12", "HEAD")


def test_a_changed_checkout_is_marked(git, tmp_path):
    (tmp_path / "a.py").write_text("2\n")
    assert source_commit(tmp_path / "a.py") == git("rev-parse", "--short=12", "HEAD") + "-dirty"


def test_links_are_followed(git, tmp_path):
    link = tmp_path.parent / "installed.py"
    link.symlink_to(tmp_path / "a.py")
    assert source_commit(link) == git("rev-parse", "--short=12", "HEAD")
    link.unlink()


def test_a_file_of_nobody_has_no_commit(git, tmp_path):
    (tmp_path / "new.py").write_text("1\n")
    assert source_commit(tmp_path / "new.py") == ""


def test_without_git_there_is_no_commit(git, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert source_commit(tmp_path / "a.py") == ""
