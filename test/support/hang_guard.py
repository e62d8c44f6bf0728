"""Hooks of pytest that end a run whatever a test does to its process; test/conftest.py imports them.

pytest-timeout ends a process from a Python thread: it cannot while C code that blocks holds Python's lock, as rclpy
does in the middleware, and it stops watching a test once that has failed, before its teardown. The thread of
faulthandler needs no lock. It writes every stack to stderr and ends the process, which pytest-xdist reports with the
test's name.
"""

import faulthandler
import os
import signal

import pytest

from apo_core.system.parent_death import end_with_parent

GRACE_S = 30.0  # for pytest-timeout, whose message is the better one
EXIT_S = 60.0  # for the end of the process after the last test
_LIMIT_S = pytest.StashKey[float]()
_STDERR = pytest.StashKey[int]()


_forking = 0  # process that makes a child


def _before_fork() -> None:
    global _forking
    _forking = os.getpid()


def _end_with_parent() -> None:
    end_with_parent(signal.SIGKILL)
    if os.getppid() != _forking:  # it has ended before: the kernel sends no signal then
        os.kill(os.getpid(), signal.SIGKILL)


def pytest_configure(config: pytest.Config) -> None:
    """Before pytest captures stderr for the first test."""
    config.stash[_STDERR] = os.dup(2)
    # pytest-xdist notices the death of a worker by its pipe, which a forked child of it would keep open
    os.register_at_fork(before=_before_fork, after_in_child=_end_with_parent)


def _watch(config: pytest.Config, limit_s: float) -> None:
    faulthandler.dump_traceback_later(limit_s, exit=True, file=config.stash[_STDERR])


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings) -> None:
    """A hook of pytest-timeout, which sets its own timer afterwards."""
    item.stash[_LIMIT_S] = settings.timeout + GRACE_S
    _watch(item.config, item.stash[_LIMIT_S])


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    """A hook of pytest-timeout, called at the end of a test."""
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """After a failure pytest-timeout and pytest's faulthandler stop watching; the teardown is still to come."""
    if _LIMIT_S in node.stash:
        _watch(node.config, node.stash[_LIMIT_S])


def pytest_enter_pdb() -> None:
    """A person takes as long as they like."""
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Threads and libraries can block the end of the process as well."""
    _watch(session.config, EXIT_S)
