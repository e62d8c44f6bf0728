"""Plain HTTP for what does not change all the time: episodes, their pictures, adapters and training runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from apo_console.library.library import Library
from apo_core.errors import ApoError

T = TypeVar("T")
_LARGEST = 1 << 31


def file_routes(libraries: Sequence[Library], threads: ThreadPoolExecutor) -> list[Route]:
    """Routes of every robot's library.

    Args:
        libraries: in the order of the robots.
        threads: that read; a long read holds up other reads alone.
    """

    def reading(read: Callable[[Library, Request], T], answer: Callable[[T], Response]) -> Callable[[Request], object]:
        async def handle(request: Request) -> Response:
            robot = request.path_params["robot"]
            if robot >= len(libraries):
                return PlainTextResponse(f"robot {robot} is not there", 404)
            loop = asyncio.get_running_loop()
            try:
                return answer(await loop.run_in_executor(threads, read, libraries[robot], request))
            except (ApoError, OSError) as error:
                return PlainTextResponse(str(error), 404)
            except ValueError as error:
                return PlainTextResponse(f"query: {error}", 400)

        return handle

    def frames(library: Library, request: Request) -> bytes:
        start, count = (_count(request.query_params.get(name, "")) for name in ("start", "count"))
        return library.frames(request.path_params["episode"], request.path_params["camera"], start, count)

    def packed(data: bytes) -> Response:
        return Response(data, media_type="application/octet-stream")

    episode = "/api/{robot:int}/episodes/{episode}"
    return [
        Route("/api/{robot:int}/episodes", reading(lambda library, _: library.episodes(), JSONResponse)),
        Route(episode, reading(lambda library, r: library.episode(r.path_params["episode"]), JSONResponse)),
        Route(f"{episode}/frames/{{camera}}", reading(frames, packed)),
        Route(
            f"{episode}/file",
            reading(
                lambda library, r: library.file(r.path_params["episode"]),
                lambda path: FileResponse(path, filename=path.name, media_type="application/x-hdf5"),
            ),
        ),
        Route("/api/{robot:int}/learning", reading(lambda library, _: library.learning(), JSONResponse)),
        Route(
            "/api/{robot:int}/runs/{run}/metrics",
            reading(lambda library, r: library.metrics(r.path_params["run"]), JSONResponse),
        ),
    ]


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _LARGEST:
        raise ValueError("start and count must be whole numbers")
    return int(text)
