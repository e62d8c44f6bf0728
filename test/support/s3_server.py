"""An S3 server on loopback, and a line to it that can be cut and mended while the server keeps what it has."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

PACKAGES = ("s3fs", "moto")
MISSING = "is missing: pip install -r requirements/store.in"


class Line:
    """A line to a server: passes bytes on until it is cut, and again once it is mended."""

    def __init__(self, target: tuple[str, int]):
        self._target, self._listener = target, socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.passed, self.cut_after = 0, float("inf")
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_cut(self) -> bool:
        return self.passed >= self.cut_after

    def cut(self, after: int = 0) -> None:
        """Lets so many bytes pass, then none."""
        self.cut_after = self.passed + after

    def mend(self) -> None:
        """Lets everything pass."""
        self.cut_after = float("inf")

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.is_cut:
                return
            with socket.create_connection(self._target) as server:
                ends = {client: server, server: client}
                while not self.is_cut:
                    for source in select.select(list(ends), [], [], 0.05)[0]:
                        data = source.recv(4096)
                        if not data:
                            return
                        self.passed += len(data)
                        ends[source].sendall(data)


@contextlib.contextmanager
def s3_server() -> Iterator[tuple[str, int]]:
    """The address of a server that runs in the block."""
    from moto.server import ThreadedMotoServer

    made = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    made.start()
    try:
        yield made.get_host_and_port()
    finally:
        made.stop()


@contextlib.contextmanager
def line_to(server: tuple[str, int]) -> Iterator[Line]:
    """A line to it, open in the block."""
    line = Line(server)
    try:
        yield line
    finally:
        line.close()


def options(line: Line) -> dict[str, Any]:
    """Of the file system at the end of a line; failures come soon."""
    return {
        "endpoint_url": line.url,
        "key": "test",
        "secret": "test",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 5, "read_timeout": 5},
        "skip_instance_cache": True,
    }


def command_options(line: Line) -> list[str]:
    """The same for a command, as far as it takes them."""
    return [f"--option={name}={value}" for name, value in (("endpoint_url", line.url), ("key", "a"), ("secret", "b"))]


def new_bucket(line: Line) -> str:
    """The URL of a bucket of its own."""
    import s3fs

    bucket = f"b{uuid.uuid4().hex}"
    s3fs.S3FileSystem(**options(line)).mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """Address of a server."""
    with s3_server() as address:
        yield address


@pytest.fixture
def line(server: tuple[str, int]) -> Iterator[Line]:
    """A line to it."""
    with line_to(server) as made:
        yield made
