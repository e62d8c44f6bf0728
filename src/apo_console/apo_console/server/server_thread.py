"""Runs the web server in a thread of its own, beside the node."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from apo_core.errors import ConfigError
from apo_core.system.scheduling import raise_priority

_START_S, _STOP_S = 30.0, 5.0


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the port, or to a free one where it is 0 or in use.

    Raises:
        ConfigError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            made.bind((host, 0))
    except OSError as error:
        made.close()
        raise ConfigError("config/console.yaml", [f"host = {host!r}, port = {port} cannot be used: {error}"]) from None
    return made


class ServerThread:
    """Serves an application until it is closed.

    Args:
        app: what is served.
        listener: see `bound_socket`.
        tls: certificate and key; None: http.
        largest_message: bytes of a message of a page that are read at all.
        priority: SCHED_FIFO priority of the thread, which the operator's input passes through; 0: none.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        tls: tuple[Path, Path] | None = None,
        largest_message: int = 65536,
        priority: int = 0,
    ):
        self._priority = priority
        self.scheduling = ""  # what holds, for people; once it has started
        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=largest_message,
            ws_ping_interval=5.0,
            ws_ping_timeout=5.0,
            ws_per_message_deflate=False,  # pictures are compressed already
            timeout_graceful_shutdown=1,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=16384,
            limit_concurrency=200,
            ssl_certfile=certificate,
            ssl_keyfile=None if key is None else str(key),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._server, self._listener = uvicorn.Server(config), listener
        self._thread = threading.Thread(target=self._run, name="console server", daemon=True)

    def _run(self) -> None:
        self.scheduling = raise_priority(self._priority, [threading.get_native_id()])
        self._server.run([self._listener])

    def start(self) -> None:
        """Begins to serve; returns once it does.

        Raises:
            ConfigError: it has ended at once, for example since the certificate cannot be read.
        """
        self._thread.start()
        waited = threading.Event()
        for _ in range(round(_START_S / 0.02)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            waited.wait(0.02)
        raise ConfigError("config/console.yaml", ["the web server has not started; its error is above"])

    def close(self) -> None:
        """Ends all connections and the thread."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._listener.close()
