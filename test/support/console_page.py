"""A page of the console without a browser: the messages that it sends and receives."""

import contextlib
import json
import struct

from websockets.sync.client import connect

TOKEN = "a token of the test"


class Page:
    """A page without a browser."""

    def __init__(self, port, name="", token=TOKEN, origin=None):
        headers = {"Cookie": f"apo_console_{port}={token}"}
        origin = f"http://127.0.0.1:{port}" if origin is None else origin
        address = f"ws://127.0.0.1:{port}/live?name={name}"
        self._open = contextlib.ExitStack()
        made = connect(address, origin=origin, additional_headers=headers, max_size=None)
        self.socket = self._open.enter_context(made)
        self._count = 0

    def send(self, message):
        self.socket.send(message)

    def until(self, condition, answers_pings=True):
        """The first message that the condition holds for; texts are decoded."""
        while True:
            message = self.socket.recv(timeout=20)
            if isinstance(message, bytes) and message[0] == 5 and answers_pings:
                self.send(b"\x02" + message[1:])
            content = json.loads(message) if isinstance(message, str) else message
            if condition(content):
                return content

    def waiting(self):
        """Messages that have arrived; requests for the round trip are answered."""
        found = []
        while True:
            try:
                message = self.socket.recv(timeout=0)
            except TimeoutError:
                return found
            if isinstance(message, bytes) and message[0] == 5:
                self.send(b"\x02" + message[1:])
            found.append(json.loads(message) if isinstance(message, str) else message)

    def state(self, condition=lambda content: True):
        return self.until(lambda content: isinstance(content, dict) and "robots" in content and condition(content))

    def measured(self):
        """Waits until its round trip is known."""
        self.state(lambda content: content["you"]["round_trip_ms"] is not None)
        return self

    def request(self, action, robot=0, **fields):
        self._count += 1
        self.send(json.dumps({"number": self._count, "robot": robot, "action": action, **fields}))
        number = self._count
        return self.until(lambda content: isinstance(content, dict) and content.get("answer") == number)

    def drive(self, sequence, axes, held=False):
        """Sends a sample of its device."""
        self.send(struct.pack("<BI6fB", 1, sequence, *axes, held))

    def close(self):
        self._open.close()
