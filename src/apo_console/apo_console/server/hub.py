"""Joins pages and robots: who drives, what is requested, what each page receives. Runs in the server's thread."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from apo_console import protocol
from apo_console.lease import Lease
from apo_console.protocol import Input, Pong, ProtocolError, Request, Shown
from apo_console.server.access import viewer_name
from apo_console.server.robots import Answer, Robots
from apo_console.server.viewers import Frame, Viewer
from apo_core.types import OperatorEvent

_STATE_S, _LEASE_S, _PING_S = 0.1, 0.01, 0.2
_ANSWER_S, _EXPORT_S = 60.0, 7200.0  # largest wait for a node, and for an export
# what changes who may drive: not while somebody else does
_OF_HOLDER = ("clear", "hand_back", "enable")
# buttons of the device; what acts on the recorder has services of its own
_BUTTONS = (OperatorEvent.GRIPPER_TOGGLE, OperatorEvent.HAND_BACK, OperatorEvent.PRESENT)


class Hub:
    """The pages of a console.

    Args:
        robots: what they see and command.
        lease_timeout_s, lease_rest_timeout_s, max_round_trip_s: see Lease.
        largest_viewers: pages that may be open at once.
        clock: steady time, s.
    """

    def __init__(
        self,
        robots: Robots,
        lease_timeout_s: float,
        lease_rest_timeout_s: float,
        max_round_trip_s: float,
        largest_viewers: int = 20,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._robots, self._clock, self._largest = robots, clock, largest_viewers
        self.leases = [Lease(lease_timeout_s, lease_rest_timeout_s, max_round_trip_s) for _ in range(robots.count())]
        self._viewers: dict[str, Viewer] = {}
        self._events: dict[str, list[str]] = {}  # viewer -> buttons that wait for its next input
        self._count = self._pings = 0
        self._start = secrets.token_hex(8)  # a page of another start is loaded again
        self._loop: asyncio.AbstractEventLoop | None = None
        self.rejected: dict[str, int] = {}  # why -> messages of pages that were rejected

    async def run(self) -> None:
        """Sends states and requests for round trips, watches the leases; until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(_every(_STATE_S, self.send_state))
            group.create_task(_every(_PING_S, self._ping))
            group.create_task(_every(_LEASE_S, self.check_leases))

    def join(self, name: str) -> Viewer | None:
        """A page has opened; None: too many are open."""
        if len(self._viewers) >= self._largest:
            return None
        self._count += 1
        viewer = Viewer(str(self._count), viewer_name(name, self._count))
        self._viewers[viewer.id] = viewer
        for lease in self.leases:
            lease.join(viewer.id)
        self._ping_one(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A page has closed."""
        self._viewers.pop(viewer.id, None)
        self._events.pop(viewer.id, None)
        for robot, lease in enumerate(self.leases):
            if lease.leave(viewer.id):
                self._let_go(robot, viewer.name)
        self.send_state()

    @property
    def has_viewers(self) -> bool:
        """Whether anybody looks."""
        return bool(self._viewers)

    def offer_frame(self, robot: int, camera: int, sequence: int, stamp_ns: int, jpeg: bytes) -> None:
        """A camera has a new picture; from any thread."""
        loop = self._loop
        if loop is not None and self._viewers:
            data = Frame(sequence, protocol.frame(robot, camera, sequence, stamp_ns, jpeg))
            loop.call_soon_threadsafe(self._frame, robot, camera, data)

    def _frame(self, robot: int, camera: int, frame: Frame) -> None:
        for viewer in self._viewers.values():
            viewer.frame(robot, camera, frame)

    def on_binary(self, viewer: Viewer, data: bytes) -> None:
        """A binary message of a page.

        Raises:
            ProtocolError: see `protocol.read_binary`.
        """
        message = protocol.read_binary(data)
        now_s = self._clock()
        if isinstance(message, Input):
            self._input(viewer, message, now_s)
        elif isinstance(message, Pong):
            for lease in self.leases:
                lease.on_answered(viewer.id, message.number, now_s)
        elif isinstance(message, Shown):
            viewer.shown(message.robot, message.camera, message.sequence)

    def _input(self, viewer: Viewer, message: Input, now_s: float) -> None:
        self.check_leases()
        moves = message.held or any(message.axes)
        for robot, lease in enumerate(self.leases):
            if lease.holder == viewer.id and lease.on_input(viewer.id, message.sequence, now_s, moves):
                events = self._events.pop(viewer.id, [])
                self._robots.drive(robot, viewer.name, message.axes, message.held, events)

    def on_text(self, viewer: Viewer, text: str) -> None:
        """A request of a page; its answer follows.

        Raises:
            ProtocolError: see `protocol.read_text`; a robot that is not there.
        """
        request = protocol.read_text(text)
        if request.robot >= len(self.leases):
            raise ProtocolError(f"robot {request.robot} is not there")
        answer = self._perform(viewer, request)
        if isinstance(answer, Answer):
            self._answer(viewer, request, answer)
        else:
            task = asyncio.ensure_future(self._await(viewer, request, answer))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _perform(self, viewer: Viewer, request: Request) -> Answer | Future[Answer]:
        action, robot, fields = request.action, request.robot, request.fields
        lease = self.leases[robot]
        if action == "estop":
            return self._robots.stop(robot)
        if action == "lease":
            return self._lease(viewer, robot, fields["take_over"])
        if action == "release":
            if not lease.release(viewer.id, str(fields["reason"])):
                return Answer(False, "you do not drive")
            self._let_go(robot, viewer.name)
            self.send_state()
            return Answer(True)
        if action == "event":
            if lease.holder != viewer.id or fields["name"] not in _BUTTONS:
                return Answer(False, "take the lease first" if fields["name"] in _BUTTONS else "no such button")
            self._events.setdefault(viewer.id, []).append(fields["name"])
            return Answer(True)
        if action in _OF_HOLDER and lease.holder not in ("", viewer.id):
            return Answer(False, f"{self._name(lease.holder)} drives")
        return self._robots.perform(robot, action, fields, viewer.name)

    def _lease(self, viewer: Viewer, robot: int, take_over: bool) -> Answer:
        lease, before = self.leases[robot], self.leases[robot].holder
        fault = lease.request(viewer.id, self._clock(), take_over)
        if fault == "somebody else drives":
            fault = f"{self._name(before)} drives"
        if fault:
            return Answer(False, fault)
        if before not in ("", viewer.id):
            # the device of who drove before must be seen to go before that of the next comes
            self._robots.let_go(robot, f"{viewer.name} took over from {self._name(before)}")
        if before != viewer.id:
            self._events.pop(viewer.id, None)  # buttons of a lease that ended before its next input
        for other, each in enumerate(self.leases):
            if other != robot and each.release(viewer.id, "drives another robot"):
                self._let_go(other, viewer.name)
        self.send_state()
        return Answer(True)

    def _let_go(self, robot: int, holder: str) -> None:
        self._robots.let_go(robot, f"{holder} no longer drives: {self.leases[robot].reason}")

    async def _await(self, viewer: Viewer, request: Request, future: Future[Answer]) -> None:
        limit_s = _EXPORT_S if request.action == "export" else _ANSWER_S
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(future), limit_s)
        except TimeoutError:
            answer = Answer(False, f"no answer within {limit_s:.0f} s")
        except Exception as error:  # whatever a node's answer breaks, the page must receive one
            answer = Answer(False, f"{type(error).__name__}: {error}")
        self._answer(viewer, request, answer)

    def _answer(self, viewer: Viewer, request: Request, answer: Answer) -> None:
        content = {"answer": request.number, "accepted": answer.accepted, "message": answer.message}
        viewer.answer(json.dumps(content))

    def check_leases(self) -> None:
        """Takes the lease from holders that are silent or too far away."""
        for robot, lease in enumerate(self.leases):
            holder = self._name(lease.holder)
            if lease.advance(self._clock()):
                self._let_go(robot, holder)
                self.send_state()

    def _ping(self) -> None:
        for viewer in self._viewers.values():
            self._ping_one(viewer)

    def _ping_one(self, viewer: Viewer) -> None:
        self._pings += 1
        for lease in self.leases:
            lease.on_asked(viewer.id, self._pings, self._clock())
        viewer.ping(protocol.ping(self._pings))

    def send_state(self) -> None:
        """Sends every page the newest state; who holds the lease and the round trip are the page's own."""
        if not self._viewers:
            return
        now_s = self._clock()
        states = self._robots.states(now_s)
        leases = [
            {"holder": self._name(lease.holder), "reason": lease.reason, "id": lease.holder} for lease in self.leases
        ]
        content = {"console": self._start, "robots": states, "leases": leases, "viewers": len(self._viewers)}
        common = json.dumps(content)[1:-1]
        for viewer in self._viewers.values():
            seconds = self.leases[0].round_trip_s(viewer.id, now_s) if self.leases else None
            own = {"id": viewer.id, "name": viewer.name, "round_trip_ms": None if seconds is None else seconds * 1e3}
            viewer.state(f'{{"you": {json.dumps(own)}, {common}}}')

    def _name(self, viewer_id: str) -> str:
        viewer = self._viewers.get(viewer_id)
        return viewer.name if viewer is not None else ""

    def reject(self, reason: str) -> None:
        """Counts a message of a page that was rejected."""
        kind = reason.partition(":")[0][:40]
        if kind in self.rejected or len(self.rejected) < 50:
            self.rejected[kind] = self.rejected.get(kind, 0) + 1

    def facts(self) -> dict[str, Any]:
        """For /diagnostics; from any thread."""
        names = [self._name(lease.holder) for lease in self.leases]
        skipped = sum(viewer.frames_skipped for viewer in tuple(self._viewers.values()))  # pages come and go meanwhile
        return {
            "viewers": len(self._viewers),
            "drives": ", ".join(filter(None, names)) or "nobody",
            "frames_skipped": skipped,
            "inputs_rejected": sum(lease.rejected for lease in self.leases),
            "messages_rejected": sum(self.rejected.values()),
        }


async def _every(seconds: float, call: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        call()
