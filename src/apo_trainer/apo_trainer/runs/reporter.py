"""Reports of a training program while it runs: JSON lines for programs on stdout, text for people on stderr.

A terminal is read by people, so that JSON goes to stdout only where that is a file or a pipe.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from tqdm import tqdm


class RunReporter:
    """JSON lines on `out` unless that is a terminal; on `err` a progress bar where that is one, else lines of text.

    Args:
        interval_s: at most one report of progress in this time, and the last.
        out: gets JSON lines; default stdout.
        err: for people; default stderr.
    """

    def __init__(self, interval_s: float, out: TextIO | None = None, err: TextIO | None = None):
        self._interval_s, self._due = interval_s, -math.inf
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._bar: tqdm | None = None
        self._noted: list[str] = []  # not shown a second time at the end

    def __call__(self, message: dict[str, Any]) -> None:
        """Reports a message with event check (for people only), start, progress, note or result."""
        if message["event"] == "progress":
            now = time.monotonic()
            if now < self._due and message["step"] < message["steps"]:
                return
            self._due = now + self._interval_s
        if message["event"] != "check" and not self._out.isatty():
            self._print(json.dumps(message))
        if message["event"] == "progress" and self._err.isatty():
            self._advance(message)
        else:
            self._end_bar()
            print(_text(message, self._noted), file=self._err, flush=True)
        if message["event"] == "note":
            self._noted.append(message["text"])

    def _print(self, line: str) -> None:
        try:
            print(line, file=self._out, flush=True)
        except BrokenPipeError:  # whoever read it is gone; that is no reason to end a run
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())

    def _advance(self, message: dict[str, Any]) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=message["steps"], initial=message["step"] - 1, desc="training", unit="step", file=self._err
            )
        self._bar.set_postfix_str(_state(message), refresh=False)
        self._bar.update(message["step"] - self._bar.n)
        if message["step"] == message["steps"]:
            self._end_bar()  # what follows is the judging, whose time is not that of a step

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _state(message: dict[str, Any]) -> str:
    present = {name: value for name, value in message["log_ratio"].items() if value is not None}
    ratios = " ".join(f"{name.lower()} {value:+.2f}" for name, value in present.items())
    return f"loss {message['loss']:.4f}  z0 {message['z0']:.2f}  log-ratio {ratios}"


def _text(message: dict[str, Any], noted: Sequence[str]) -> str:
    if message["event"] == "note":
        return f"note: {message['text']}"
    if message["event"] == "progress":
        return f"step {message['step']}/{message['steps']}  {_state(message)}  eta {message['eta_s']:.0f} s"
    if message["event"] == "check":
        return f"checking episode files: {message['done']} of {message['files']}"
    if message["event"] == "start":
        samples = ", ".join(f"{count} {name.lower()}" for name, count in message["train_samples"].items())
        lines = [f"training on {message['train_episodes']} episodes: {samples} samples"]
        lines += [
            f"note: {windows['fallbacks']} of {windows['number']} takeovers lack what {windows['rule']} needs: last_k"
            for windows in (message.get("undesirable_windows"), message.get("k_fit"))
            if windows and windows["fallbacks"]
        ]
        if rests := message.get("rest_steps_left_out"):
            lines.append(f"note: {rests} steps of an operator at rest are no corrections (rest_steps)")
        tokens = message.get("policy_tokens")
        if tokens and tokens["disagreeing"]:
            lines.append(f"note: recorded tokens of {tokens['disagreeing']} policy steps mean another action: not used")
        lines += _rejected(message["rejected_files"]) + [f"note: {note}" for note in message["notes"]]
        return "\n".join(lines)
    notes = [*(note for note in message["notes"] if note not in noted), *(message["verdict"] or {"notes": ()})["notes"]]
    end = f"{message['state']}: {message['message']} ({message['steps']} steps, {message['seconds']:.1f} s)"
    return "\n".join([*(f"note: {note}" for note in notes), end])


def _rejected(items: Sequence[Mapping[str, str]]) -> list[str]:
    """A line a reason: a folder may hold hundreds of files that were recorded for another purpose."""
    paths: dict[str, list[str]] = {}
    for item in items:
        paths.setdefault(item["reason"], []).append(item["path"])
    lines = []
    for reason, names in paths.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(f"rejected: {names[0]}{more}: {reason}")
    return lines
