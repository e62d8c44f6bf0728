"""Starts a process of a launch file again when it ends with an error, but not one that would end the same way again."""

from __future__ import annotations

from collections.abc import Callable

from launch import Action, LaunchContext, LaunchDescriptionEntity
from launch.actions import TimerAction
from launch.events.process import ProcessExited

from apo_bringup.stack.supervision import NOT_AGAIN

OnExit = Callable[[ProcessExited, LaunchContext], list[LaunchDescriptionEntity] | None]


def start_again(make: Callable[[OnExit], Action], delay_s: float) -> Action:
    """A process with what `apo up` does when it ends; `respawn` of launch knows no exit status.

    Args:
        make: makes the process, given its `on_exit`.
        delay_s: between its end and its next start.
    """

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        if event.returncode in NOT_AGAIN or context.is_shutdown:
            return None
        return [TimerAction(period=delay_s, actions=[make(on_exit)])]

    return make(on_exit)
