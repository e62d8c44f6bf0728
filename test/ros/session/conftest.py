"""A stack and the session's node in one domain."""

from collections.abc import Callable, Iterator

import pytest
from session_stack import CONFIG, SUBSCRIBERS, FakeStack

from apo_bringup.session.node import SessionNode
from apo_bringup.session.plan import SessionConfig


@pytest.fixture
def launch(ros) -> Iterator[Callable[..., FakeStack]]:
    made = []

    def start(**options) -> FakeStack:
        made.append(FakeStack(ros, **options))
        return made[-1]

    yield start
    for stack in made:
        stack.close()


@pytest.fixture
def connect(ros) -> Iterator[Callable[..., SessionNode]]:
    """(config, check, realtime) -> the node, before it has waited for the stack."""
    made = []

    def start(
        config: SessionConfig = CONFIG, check: Callable[[], None] = lambda: None, realtime: bool = False
    ) -> SessionNode:
        made.append(SessionNode(config, SUBSCRIBERS, check, realtime=realtime))
        return made[-1]

    yield start
    for node in made:
        node.destroy_node()
