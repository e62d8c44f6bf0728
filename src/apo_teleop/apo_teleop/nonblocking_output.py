"""Output that never waits for its reader: a stopped terminal or full pipe must not block a node that moves a robot."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

FLUSH_TIMEOUT_S = 1.0  # for output that waits at the end to be read


@contextlib.contextmanager
def nonblocking_output(descriptors: tuple[int, ...] = (1, 2)) -> Iterator[None]:
    """Standard output and error go through a pipe each; a line that finds it full is dropped.

    Args:
        descriptors: file descriptors to unblock.
    """
    kept = [(descriptor, os.dup(descriptor)) for descriptor in descriptors]
    threads = [_pass_on(descriptor, real) for descriptor, real in kept]
    try:
        yield
    finally:
        for descriptor, real in kept:
            os.dup2(real, descriptor)  # the pipe's only end to write to is closed by this
        for thread in threads:
            thread.join(FLUSH_TIMEOUT_S)


def _pass_on(descriptor: int, real: int) -> threading.Thread:
    """Puts a pipe in a descriptor's place; the thread forwards what arrives until no writer is left."""
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    os.dup2(sink, descriptor)
    os.close(sink)

    def run() -> None:
        with contextlib.suppress(OSError):  # the reader is gone
            while text := os.read(source, 65536):
                while text:
                    text = text[os.write(real, text) :]
        while os.read(source, 65536):
            continue
        os.close(source)
        os.close(real)

    thread = threading.Thread(target=run, name=f"output {descriptor}", daemon=True)
    thread.start()
    return thread
