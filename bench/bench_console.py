"""The console with pages in Chromium: key to command, age of the pictures, processors, and takeovers beside it.

Needs Debian's Chromium and Playwright (requirements/browser.in). Browser and nodes share the machine.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from control.harness import Harness, cpu_seconds  # first: it picks the DDS domain
from control.takeovers import await_moment, takeover_ms
from figure import SKIPPED, Figure
from std_srvs.srv import Trigger

from apo_core.system.scheduling import raise_priority

try:
    from playwright.sync_api import Page, sync_playwright
except ImportError:
    print("console: playwright is missing: pip install -r requirements/browser.in", file=sys.stderr)
    raise SystemExit(SKIPPED) from None

RATE_HZ, CAMERA_HZ = 20.0, 30.0
CAMERAS = {"front": (480, 640), "wrist": (480, 640)}
TAKEOVERS, KEYS, VIEWERS, SECONDS = 200, 100, 3, 10.0
CHROMIUM = shutil.which("chromium")
LIMITS = {"lease_timeout_s": 1.0, "lease_rest_timeout_s": 2.0, "max_round_trip_s": 2.0}


class Bench:
    """The arbiter, the console and the cameras as processes, and pages."""

    def __init__(self, playwright, with_operator: bool):
        self.harness = Harness(RATE_HZ, RATE_HZ, with_operator, CAMERAS)
        harness = self.harness
        self.arbiter = harness.start_arbiter(hand_back_s=0.05)
        address, folder = harness.folder / "address", harness.folder
        folders = {name: folder / name for name in ("episode_dir", "adapter_dir", "run_dir")}
        shared = {"contract_file": harness.contract_file}
        self.console = harness.start_node(
            "apo_console.console_node", **shared, port=0, address_file=address, **folders, **LIMITS
        )
        if not with_operator:
            stale = {"remote_stale_s": 1.0, "remote_rest_stale_s": 2.0}
            harness.start_node("apo_teleop.teleop_node", **shared, device="browser", **stale)
        source = Path(__file__).parent / "console" / "cameras.py"
        self.cameras = subprocess.Popen([sys.executable, str(source), str(harness.contract_file), str(CAMERA_HZ)])
        self._browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        viewers = harness.folder / "chromium"
        viewers.write_text(f'#!/bin/sh\nexec nice -n 19 {CHROMIUM} "$@"\n')
        viewers.chmod(0o755)
        # other people's browsers are on other machines: here they get what is left
        self._viewers = playwright.chromium.launch(executable_path=viewers, args=["--no-sandbox"])
        harness.until(lambda: harness.connected(relay=False), "the arbiter")
        harness.until(lambda: address.is_file() and address.read_text().endswith("\n"), "the console")
        self.address = address.read_text().strip()

    def open(self, viewer: bool = False) -> Page:
        """A page that shows pictures, in a window of its own; a viewer's has the lowest priority."""
        page = (
            (self._viewers if viewer else self._browser).new_context(viewport={"width": 1280, "height": 900}).new_page()
        )
        page.goto(self.address)
        self.wait(page, "window.apo !== undefined && window.apo.cameras.painted.length > 10", "pictures")
        return page

    def wait(self, page: Page, expression: str, what: str) -> None:
        """Until an expression of the page is true."""
        self.harness.until(lambda: page.evaluate(expression), what)

    def clear(self) -> None:
        """Ends the faults of the pauses in which a page was opened: the robot of the harness stood still."""
        client = self.harness.node.create_client(Trigger, "arbiter/clear")
        self.harness.until(client.service_is_ready, "the arbiter's services")
        future = client.call_async(Trigger.Request())
        self.harness.until(future.done, "clear")
        self.harness.until(lambda: self.harness.commands[-1][1].source == "POLICY", "the policy in control")

    def close(self) -> None:
        """Ends everything."""
        self._browser.close()
        self._viewers.close()
        self.cameras.send_signal(signal.SIGINT)
        self.cameras.wait(10)
        self.harness.close()


def key_ms(bench: Bench, page: Page) -> float:
    """From a key event in the page to the arm's command here."""
    harness = bench.harness
    harness.until(lambda: harness.commands[-1][1].source == "POLICY", "the policy in control")
    seen, is_pressed = len(harness.arm), threading.Event()

    # commands of the operator go backwards, those of the policy forwards
    def answers() -> list[int]:
        return [at for at, message in harness.arm[seen:] if message.twist.linear.x < 0]

    # the command may arrive before Playwright returns from the page
    with ThreadPoolExecutor(1) as receiver:
        received = receiver.submit(harness.until, lambda: is_pressed.is_set() and answers(), "the operator's command")
        # the page's clock is this machine's
        begin = page.evaluate(
            """() => {
              const now = performance.timeOrigin + performance.now();
              document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "s", bubbles: true }));
              return now;
            }"""
        )
        offset_ns = time.time_ns() - time.monotonic_ns()
        is_pressed.set()
        received.result()
    page.evaluate("document.body.dispatchEvent(new KeyboardEvent('keyup', { key: 's', bubbles: true }))")
    return (answers()[0] + offset_ns) * 1e-6 - begin


def keys(playwright) -> list[float]:
    """Times of `key_ms`."""
    bench, rng = Bench(playwright, with_operator=False), random.Random(0)
    try:
        page = bench.open()
        bench.wait(page, r"/round trip \d+ ms/.test(document.getElementById('line').textContent)", "round trip")
        page.locator("#take").click()
        bench.wait(page, "window.apo.drive.isOn", "lease")
        bench.harness.run_until(time.monotonic_ns() + 1_000_000_000)
        times = []
        for _ in range(KEYS):
            bench.harness.run_until(time.monotonic_ns() + round(rng.uniform(0.2, 0.25) * 1e9))
            times.append(key_ms(bench, page))
        return times
    finally:
        bench.close()


def glass_age_ms(pages: list[Page]) -> list[float]:
    """From the stamp of a picture to its painting."""
    return [
        age for page in pages for age in page.evaluate("window.apo.cameras.painted.map((each) => each.at - each.stamp)")
    ]


def takeovers(bench: Bench) -> list[float]:
    """Times of takeovers by the operator's device."""
    rng, times = random.Random(0), []
    for _ in range(TAKEOVERS):
        await_moment(bench.harness, rng.uniform(0, 0.8 / RATE_HZ))
        times.append(takeover_ms(bench.harness, relay=False))
    return times


def main() -> None:
    """Prints the figures."""
    if CHROMIUM is None:
        print("console: Chromium is missing: apt-get install chromium", file=sys.stderr)
        raise SystemExit(SKIPPED)
    with sync_playwright() as playwright:
        by_key = keys(playwright)
        bench = Bench(playwright, with_operator=True)
        try:
            raise_priority(15)  # what measures must not wait for what it measures beside
            alone = takeovers(bench)
            page = bench.open()
            bench.harness.run_until(time.monotonic_ns() + round(SECONDS * 1e9))
            ages = glass_age_ms([page])
            page.close()
            pages = [bench.open(viewer=True) for _ in range(VIEWERS)]
            before, began = cpu_seconds(bench.console), time.monotonic()
            bench.harness.run_until(time.monotonic_ns() + round(SECONDS * 1e9))
            processors = (cpu_seconds(bench.console) - before) / (time.monotonic() - began)
            bench.clear()
            watched = takeovers(bench)
            print(
                f"age of the pictures with {VIEWERS} pages: p50 {np.median(glass_age_ms(pages)):.1f} ms",
                file=sys.stderr,
            )
        finally:
            bench.close()
    direct = np.percentile(alone, [50, 99])
    key = np.percentile(by_key, [50, 99])
    print(
        f"key to command p50 {key[0]:.1f} ms, p99 {key[1]:.1f} ms; device {direct[0]:.1f} and {direct[1]:.1f} ms",
        file=sys.stderr,
    )
    Figure(
        "browser_takeover_ms", float(key[0] - direct[0]), "ms more at p50", 25.0, True, KEYS, float(direct[0])
    ).emit()
    Figure("glass_age_ms", float(np.median(ages)), "ms", 80.0, True, len(ages)).emit()
    Figure("console_processors", processors, "", 0.5, True, 1).emit()
    ratio = float(np.percentile(watched, 99) / direct[1])
    Figure("takeover_p99_with_viewers_ratio", ratio, "", 1.2, True, TAKEOVERS, float(direct[1]), ratio).emit()


if __name__ == "__main__":
    main()
