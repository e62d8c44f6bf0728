"""The web application: the page, its files and the live connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from apo_console import protocol
from apo_console.protocol import ProtocolError
from apo_console.server.access import HEADERS, Access, Attempts, RateLimit
from apo_console.server.hub import Hub
from apo_console.server.viewers import Viewer

STATIC = Path(__file__).parents[1] / "static"
_RATE, _RATE_S = 600, 1.0  # messages of one page, which confirms every picture
_FAULTS, _FAULTS_S = 10, 10.0  # messages of one page that no page sends, before it is closed
_POLICY, _TOO_LARGE, _TRY_LATER = 1008, 1009, 1013  # close codes of RFC 6455


class Guard:
    """Lets in who has the token, by a name of this server and from its own page; adds the security headers.

    Args:
        app: what is guarded.
        access: the rules.
    """

    def __init__(self, app: ASGIApp, access: Access):
        self._app, self._access, self._attempts = app, access, Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        status, text = self._fault(scope)
        if not status:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(_POLICY, text[:100])
        else:
            await PlainTextResponse(text, status)(scope, receive, _with_headers(send))

    def _fault(self, scope: Scope) -> tuple[int, str]:
        """Status and reason of a rejection; (0, "") if there is none."""
        request: Any = Request(scope) if scope["type"] == "http" else _headers_of(scope)
        address = (scope.get("client") or ("",))[0]
        if fault := self._access.host_fault(request.headers.get("host")):
            return 421, fault
        if self._attempts.is_blocked(address, time.monotonic()):
            return 429, "too many wrong tokens: wait a minute"
        # a cookie of an earlier start must not keep out who opens the new address
        given = [request.query_params.get("token"), request.cookies.get(self._access.cookie)]
        if not any(map(self._access.has_token, given)):
            for token in filter(None, given):
                self._attempts.failed(address, token, time.monotonic())
            return 401, "open the address that the console printed: it contains the token"
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        fault = self._access.origin_fault(request.headers.get("origin")) if changes else ""
        return (403, fault) if fault else (0, "")


def _headers_of(scope: Scope) -> Request:
    return Request({**scope, "type": "http", "method": "GET"})


def _with_headers(send: Send) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in extra}
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*kept, *extra]}
        await send(message)

    return add


def make_app(hub: Hub, access: Access, tls: bool = False, files: Sequence[Route] = ()) -> ASGIApp:
    """The application.

    Args:
        hub: the pages.
        access: who is let in.
        tls: whether it is served by https.
        files: further routes, see `server.files`.
    """

    async def index(request: Request) -> Response:
        if "token" not in request.query_params:
            return Response((STATIC / "index.html").read_bytes(), media_type="text/html")
        # the token must not stay in the address: it would be in the history and on every screenshot
        answer = RedirectResponse("/", 303)
        token = request.query_params["token"]
        if access.has_token(token):
            answer.set_cookie(access.cookie, token, httponly=True, samesite="strict", secure=tls, path="/")
        return answer

    async def live(socket: WebSocket) -> None:
        await _serve_page(hub, socket)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(hub.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    routes = [
        Route("/", index),
        WebSocketRoute("/live", live),
        *files,
        Mount("/static", StaticFiles(directory=STATIC, follow_symlink=False)),
    ]
    return Guard(Starlette(routes=routes, lifespan=lifespan), access)


async def _serve_page(hub: Hub, socket: WebSocket) -> None:
    viewer = hub.join(socket.query_params.get("name", ""))
    if viewer is None:
        await socket.close(_TRY_LATER, "too many pages are open")
        return
    try:
        await socket.accept()
        sender = asyncio.create_task(_send(viewer, socket))
        try:
            await _receive(hub, viewer, socket)
        finally:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sender
    finally:
        hub.leave(viewer)


async def _send(viewer: Viewer, socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the page has gone in the middle of a message
        while True:
            message = await viewer.next()
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message))


async def _receive(hub: Hub, viewer: Viewer, socket: WebSocket) -> None:
    rate, faults = RateLimit(_RATE, _RATE_S), RateLimit(_FAULTS, _FAULTS_S)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        now_s = time.monotonic()
        if not rate.allows(now_s):
            hub.reject("too many messages")
            await socket.close(_POLICY, f"more than {_RATE} messages a second")
            return
        data, text = message.get("bytes"), message.get("text")
        largest = protocol.LARGEST if data is None else protocol.LARGEST_BINARY
        if len(data or text or "") > largest:
            hub.reject("too large")
            await socket.close(_TOO_LARGE, f"more than {largest} bytes")
            return
        try:
            if data is not None:
                hub.on_binary(viewer, data)
            else:
                hub.on_text(viewer, text or "")
        except ProtocolError as error:
            hub.reject(str(error))
            if not faults.allows(now_s):
                await socket.close(_POLICY, "too many messages that no page sends")
                return
