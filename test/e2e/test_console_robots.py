"""The console in a real browser: several robots on one page, and a page that comes over TLS.

Needs Debian's Chromium (apt-get install chromium) and Playwright (pip install -r requirements/browser.in).
"""

import os
import subprocess
from datetime import UTC, datetime

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from chromium import launched, needs_chromium
from console_robots import Robots
from console_stack import Page, until
from node_command import node_command

from apo_console.server.tls import self_signed

# on a slow machine messages may pause
LIMITS = {"lease_timeout_s": 2.0, "lease_rest_timeout_s": 5.0, "max_round_trip_s": 5.0}
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), needs_chromium]


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


@pytest.fixture
def robots(next_domain):
    domain = next_domain()
    made = Robots(domain, ("left", "right"))
    made.domain = domain
    yield made
    made.close()


@pytest.fixture
def open_page(robots, browser, tmp_path):
    """Starts a console of both robots with further parameters, and opens its page."""
    closed_after = []

    def make(**parameters):
        file = tmp_path / "address"
        folders = {name: str(tmp_path / name) for name in ("episode_dir", "adapter_dir", "run_dir", "export_dir")}
        given = {"contract_file": "config/contract.yaml", "port": 0, "address_file": str(file), **folders, **LIMITS}
        command = node_command("apo_console.console_node", {**given, **parameters, "robots": "[left, right]"})
        environment = {**os.environ, "ROS_DOMAIN_ID": str(robots.domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        process = subprocess.Popen(command, env=environment)
        closed_after.append(process)
        until(lambda: file.is_file() and file.read_text().endswith("\n"), "the console's address")
        page = Page(browser, file.read_text().strip())
        closed_after.insert(0, page)
        return page

    yield make
    for each in closed_after:
        if isinstance(each, Page):
            each.close()
        else:
            each.terminate()
            assert each.wait(30) == 0


def buttons(page):
    """The robots' buttons as they stand on the page."""
    return page.page.evaluate(
        """() => [...document.querySelectorAll("#robots button")]
          .sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
          .map((button) => button.textContent)"""
    )


def test_the_robot_that_needs_help_stands_first(robots, open_page):
    page = open_page()
    until(lambda: buttons(page) == ["left: POLICY", "right: POLICY"], "both robots")
    robots.reasons["right"] = ("ESTOP", "estop")
    until(lambda: buttons(page) == ["!! right: ESTOP", "left: POLICY"], "right in front")


def test_the_stop_and_the_lease_are_those_of_the_robot_that_is_shown(robots, open_page):
    page = open_page()
    until(lambda: len(buttons(page)) == 2, "both robots")
    page.takes_the_lease()
    until(lambda: robots.samples["left"] and robots.samples["left"][-1].connected, "sample of the left device")
    page.page.get_by_role("button", name="right: POLICY").click()
    page.until("!window.apo.drive.isOn")
    until(lambda: not robots.samples["left"][-1].connected, "the end of the lease of the left robot")
    page.page.locator("#estop").click()
    until(lambda: ("right", "estop") in robots.calls, "the stop")
    assert ("left", "estop") not in robots.calls
    page.until("document.getElementById('state').dataset.state === 'ESTOP'")


def test_a_page_over_tls_drives(robots, open_page, tmp_path):
    certificate, key = self_signed(tmp_path / "tls", ("127.0.0.1", "localhost"), datetime.now(UTC))
    page = open_page(tls_certificate=certificate, tls_key=key)
    assert page.page.evaluate("location.protocol") == "https:"
    cookies = page.context.cookies()
    assert len(cookies) == 1 and cookies[0]["secure"] and cookies[0]["httpOnly"]
    page.takes_the_lease()
    page.page.keyboard.down("w")
    until(lambda: any(sample.axes[0] > 0 for sample in robots.samples["left"]), "motion forward")
    page.page.keyboard.up("w")
