"""What a page receives: answers all, of state and frames the newest, at most one frame of a camera on its way."""

import asyncio

import pytest

from apo_console.server.viewers import Frame, Viewer


class Page:
    """A viewer, and what it receives."""

    def __init__(self):
        self.viewer, self._runner = Viewer("1", "anna"), asyncio.Runner()

    def receives(self, count: int = 1) -> list:
        async def take():
            return [await asyncio.wait_for(self.viewer.next(), 5.0) for _ in range(count)]

        return self._runner.run(take())

    def is_idle(self) -> bool:
        async def wait():
            await asyncio.wait_for(self.viewer.next(), 0.01)

        with pytest.raises(asyncio.TimeoutError):
            self._runner.run(wait())
        return True

    def close(self):
        self._runner.close()


@pytest.fixture
def page():
    page = Page()
    yield page
    page.close()


def test_answers_come_in_order_and_the_state_is_the_newest(page):
    viewer = page.viewer
    viewer.state("old")
    viewer.answer("first")
    viewer.answer("second")
    viewer.state("new")
    assert page.receives(3) == ["first", "second", "new"]
    assert page.is_idle()


def test_a_request_for_the_round_trip_does_not_wait(page):
    viewer = page.viewer
    viewer.answer("first")
    viewer.ping(b"ping")
    assert page.receives(2) == [b"ping", "first"]


def test_a_frame_waits_until_the_one_before_was_shown(page):
    viewer = page.viewer
    viewer.frame(0, 0, Frame(1, b"one"))
    assert page.receives(1) == [b"one"]
    viewer.frame(0, 0, Frame(2, b"two"))
    viewer.frame(0, 0, Frame(3, b"three"))
    assert page.is_idle()
    assert viewer.frames_skipped == 1
    viewer.shown(0, 0, 2)
    assert page.is_idle(), "that one was never sent"
    viewer.shown(0, 0, 1)
    assert page.receives(1) == [b"three"]


def test_cameras_do_not_wait_for_each_other(page):
    viewer = page.viewer
    viewer.frame(0, 0, Frame(1, b"one"))
    viewer.frame(0, 1, Frame(1, b"wrist"))
    viewer.frame(1, 0, Frame(1, b"other robot"))
    assert page.receives(3) == [b"one", b"wrist", b"other robot"]


def test_a_page_that_never_reads_costs_a_bounded_memory(page):
    viewer = page.viewer
    for n in range(1000):
        viewer.answer(str(n))
        viewer.frame(0, 0, Frame(n, bytes(10)))
        viewer.ping(b"p")
    assert page.receives(202)[2:4] == ["800", "801"]
