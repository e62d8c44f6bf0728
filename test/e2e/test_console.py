"""The console in a real browser, beside the stack in simulation: see, take over, stop, judge, promote.

Needs Debian's Chromium (apt-get install chromium) and Playwright (pip install -r requirements/browser.in). With
APO_SCREENSHOTS=<folder> the pictures of the docs are written there.
"""

import os
import re
import signal
from pathlib import Path

import h5py
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from adapter_samples import plain_manifest
from chromium import CHROMIUM, launcher, needs_chromium
from console_stack import Page, Stack, until
from small_policy import random_adapter

from apo_core.adapters.store import AdapterStore
from apo_core.types import ControlSource, Outcome
from apo_episodes.reader import list_episodes, read_episode
from apo_vla.lora.adapter import LoraSettings, adapter_config
from apo_vla.policy import VlaPolicy

ROOT = Path(__file__).resolve().parents[2]
LATE = 5  # commands of the operator after the end of its line: 200 ms at 20 Hz, and the one on its way
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), needs_chromium]


@pytest.fixture(scope="module")
def stack(tmp_path_factory, next_domain):
    made = Stack(next_domain(), tmp_path_factory.mktemp("console"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Starts a browser; where that is permitted one that no simulation holds up, as on an operator's own machine."""
    program = tmp_path_factory.mktemp("chromium") / "chromium"
    program.write_text(f'#!/bin/sh\nexec nice -n -15 {CHROMIUM} "$@"\n')
    program.chmod(0o755)
    with launcher(program) as start:
        yield start


@pytest.fixture(scope="module")
def browser(launch):
    found = launch()
    yield found
    found.close()


@pytest.fixture
def open_page(browser, stack):
    """A page in a window of its own; its emergency stops and faults are cleared at the end."""
    pages = []

    def make(**options):
        pages.append(Page(browser, stack.address, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


@pytest.fixture
def other(launch, stack):
    """A page in a second browser: one that lies behind another window may not drive."""
    second = launch()
    made = Page(second, stack.address)
    yield made
    made.close()
    second.close()


@pytest.fixture
def page(open_page, stack):
    made = open_page()
    made.page.keyboard.press("c")
    stack.drives("POLICY")
    return made


def test_pictures_of_every_camera_arrive_and_change(page):
    page.until("new Set(window.apo.cameras.painted.map((each) => each.camera)).size === 2")
    first = page.page.evaluate("window.apo.cameras.painted.length")
    page.until(f"window.apo.cameras.painted.length > {first} + 4")
    colours = page.page.evaluate(
        """() => [...document.querySelectorAll("#cameras canvas")].map((canvas) => {
          const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
          const context = copy.getContext("2d");
          context.drawImage(canvas, 0, 0);
          return new Set(context.getImageData(0, 0, copy.width, copy.height).data).size;
        })"""
    )
    assert len(colours) == 2 and min(colours) > 20, "a picture of one colour"
    page.until("document.getElementById('legend').textContent.includes('P policy')")
    page.picture("live")


def test_a_key_takes_over_and_is_recorded_as_the_operators(page, stack):
    page.takes_the_lease()
    page.page.keyboard.down("w")
    command = stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] > 0, "motion of the operator")
    assert command.values[0] > 0.0
    page.until("document.getElementById('state').dataset.state === 'HUMAN'")
    page.picture("drive")
    page.page.keyboard.up("w")
    stack.next_command(lambda c: c.source != "HUMAN" or not any(c.values[:6]), "rest")
    page.page.keyboard.press("b")
    stack.drives("POLICY")
    page.until("document.getElementById('verdict').textContent === 'ends this episode'")
    seen = len(stack.episodes)
    page.page.keyboard.press("y")
    saved = until(lambda: next((e for e in stack.episodes[seen:] if e.event == "SAVED"), None), "saved episode")
    episode = read_episode(saved.path)
    assert episode.outcome.outcome is Outcome.SUCCESS
    assert ControlSource.HUMAN in episode.sources


def blur(page):
    page.page.evaluate("window.dispatchEvent(new Event('blur'))")


def hide(page):
    page.page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


def look_elsewhere(page):
    page.page.evaluate("location.hash = 'episodes'")


def close_tab(page):
    page.page.close()


@pytest.mark.parametrize("end", [blur, hide, look_elsewhere, close_tab])
def test_who_looks_away_lets_go(page, stack, end):
    page.takes_the_lease()
    page.page.keyboard.down("w")
    stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] > 0, "motion of the operator")
    seen = len(stack.commands)
    end(page)
    held = stack.next_command(lambda c: c.source == "HOLD", "HOLD")
    assert held.reason == "device_lost"
    moved = [c for c in stack.commands[seen:] if c.source == "HUMAN" and c.tick < held.tick]
    assert len(moved) <= LATE


@pytest.mark.parametrize("name", ["the network", "the browser"])
def test_a_killed_browser_lets_go(launch, stack, name):
    own = launch()
    page = Page(own, stack.address)
    page.page.keyboard.press("c")
    stack.drives("POLICY")
    page.takes_the_lease()
    page.page.keyboard.down("w")
    stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] > 0, "motion of the operator")
    pids = processes_of(own, "--utility-sub-type=network" if name == "the network" else "")
    seen = len(stack.commands)
    # a network process that is stopped sends nothing more, and closes nothing
    for pid in pids:
        os.kill(pid, signal.SIGSTOP if name == "the network" else signal.SIGKILL)
    held = stack.next_command(lambda c: c.source == "HOLD", "HOLD")
    assert held.reason == "device_lost"
    assert len([c for c in stack.commands[seen:] if c.source == "HUMAN" and c.tick < held.tick]) <= LATE
    for pid in pids if name == "the network" else []:
        os.kill(pid, signal.SIGKILL)


def processes_of(browser, kind: str) -> list[int]:
    """Processes of a browser; those whose command line contains `kind`."""
    session = browser.new_browser_cdp_session()
    found = [each["id"] for each in session.send("SystemInfo.getProcessInfo")["processInfo"]]
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_text(errors="replace") for pid in found}
    chosen = [pid for pid, line in lines.items() if kind in line]
    assert chosen, f"no process {kind!r} in {list(lines.values())}"
    return chosen


def test_two_browsers_fight_for_the_lease_and_one_drives(page, other, stack):
    page.takes_the_lease()
    other.until("document.getElementById('take').textContent.startsWith('Take over from')")
    assert "drives" in other.text("lease")
    other.takes_the_lease()
    page.until("!window.apo.drive.isOn")
    page.page.keyboard.down("w")
    other.page.keyboard.down("s")
    stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] < 0, "motion of the one who took over")
    assert all(c.values[0] <= 0 for c in stack.commands[-5:] if c.source == "HUMAN")


def test_anybody_can_stop_without_the_lease(page, other, stack):
    page.takes_the_lease()
    other.page.locator("#estop").click()
    until(lambda: stack.states[-1].state == "ESTOP", "emergency stop")
    other.until("document.getElementById('alarm').dataset.level === '3'")
    other.picture("stop")
    page.page.keyboard.press("c")
    until(lambda: stack.states[-1].state != "ESTOP", "end of the stop")


GAMEPAD = """
  window.stick = [0, 0, 0, 0];
  const pad = () => ({ connected: true, mapping: "standard", axes: window.stick, index: 0, id: "test",
    buttons: Array.from({ length: 17 }, () => ({ pressed: false, value: 0 })) });
  navigator.getGamepads = () => [pad()];
"""
SPACEMOUSE = """
  const device = Object.assign(new EventTarget(), {
    vendorId: 0x256f, productId: 0xc635, productName: "SpaceMouse Compact", opened: true, collections: [],
    open: async () => {}, close: async () => {} });
  window.report = (id, bytes) => {
    const event = new Event("inputreport");
    Object.assign(event, { device, reportId: id, data: new DataView(new Uint8Array(bytes).buffer) });
    device.dispatchEvent(event);
  };
  window.pushed = 0;
  setInterval(() => window.report(1, [0, 0, window.pushed & 255, (window.pushed >> 8) & 255, 0, 0]), 20);
  Object.defineProperty(navigator, "hid", { value: Object.assign(new EventTarget(), {
    requestDevice: async () => [device], getDevices: async () => [device] }) });
"""


def test_a_gamepad_moves_the_arm(open_page, stack):
    page = open_page(init=GAMEPAD)
    page.page.keyboard.press("c")
    page.takes_the_lease()
    page.page.evaluate("window.stick = [0, -1, 0, 0]")
    stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] > 0, "motion forward")
    page.page.evaluate("window.stick = [0, 0, 0, 0]")
    stack.next_command(lambda c: c.source != "HUMAN" or not any(c.values[:6]), "rest")


def test_a_spacemouse_moves_the_arm(open_page, stack):
    page = open_page(init=SPACEMOUSE)
    page.page.keyboard.press("c")
    page.page.locator("#spacemouse").click()
    page.until("document.getElementById('message').textContent.includes('SpaceMouse Compact')")
    page.takes_the_lease()
    # y of the device points at the operator: pushed away by the full 350 counts
    page.page.evaluate("window.pushed = -350")
    stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] > 0, "motion forward")
    page.page.evaluate("window.pushed = 0")
    stack.next_command(lambda c: c.source != "HUMAN" or not any(c.values[:6]), "rest")


def test_a_pad_on_the_screen_moves_the_arm(page, stack):
    page.takes_the_lease()
    page.page.locator("#pad-plane").scroll_into_view_if_needed()
    box = page.page.locator("#pad-plane").bounding_box()
    middle, top = box["x"] + box["width"] / 2, box["y"] + 5
    page.page.mouse.move(middle, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    page.page.mouse.move(middle, top)
    stack.next_command(lambda c: c.source == "HUMAN" and c.values[0] > 0, "motion forward")
    page.page.mouse.up()
    stack.next_command(lambda c: c.source != "HUMAN" or not any(c.values[:6]), "rest")


def test_a_verdict_after_the_end_corrects_the_episode_that_ended(page, stack):
    page.until("document.getElementById('verdict').textContent === 'ends this episode'")
    seen = len(stack.episodes)
    page.page.keyboard.press("y")
    saved = until(lambda: next((e for e in stack.episodes[seen:] if e.event == "SAVED"), None), "saved episode")
    page.until("document.getElementById('verdict').textContent === 'corrects the episode above'")
    recorded = Path(saved.path).read_bytes()
    page.page.keyboard.press("n")
    until(lambda: read_episode(saved.path, images=False).annotation, "annotation")
    assert read_episode(saved.path, images=False).outcome.outcome is Outcome.FAILURE
    assert Path(saved.path).read_bytes() == recorded


def test_chosen_episodes_are_exported(page, stack):
    path = until(lambda: next(iter(list_episodes(stack.data / "episodes")), None), "episode")
    page.page.keyboard.press("2")
    page.until(f"document.querySelector('[data-id=\"{path.stem}\"]') !== null")
    page.page.locator(f'[data-id="{path.stem}"] input[type=checkbox]').check()
    page.page.locator("#export-format").select_option("robomimic")
    page.page.locator("#export").click()
    exported = until(lambda: next((stack.data / "exports").glob("[0-9]*_robomimic.hdf5"), None), "exported file")
    page.until("!document.getElementById('export').disabled")
    with h5py.File(exported) as file:
        assert list(file["data"]) == ["demo_0"]


def test_an_episode_is_played_judged_discarded_and_restored(page, stack):
    path = until(lambda: next(iter(list_episodes(stack.data / "episodes")), None), "episode")
    page.page.keyboard.press("2")
    page.until(f"document.querySelector('[data-id=\"{path.stem}\"]') !== null")
    page.page.locator(f'[data-id="{path.stem}"] button.link').click()
    page.until("document.querySelector('#player-cameras canvas')?.dataset.step === '0'")
    page.page.keyboard.press("ArrowRight")
    page.until("document.querySelector('#player-cameras canvas').dataset.step === '1'")
    page.page.keyboard.press("Space")
    page.until("Number(document.querySelector('#player-cameras canvas').dataset.step) > 5")
    page.page.keyboard.press("Space")
    page.picture("episodes", full_page=True)
    recorded = path.read_bytes()
    page.page.locator("#note").fill("it slipped")
    page.page.locator('[data-annotate="FAILURE"]').click()
    until(lambda: read_episode(path, images=False).annotation, "annotation")
    episode = read_episode(path, images=False)
    assert (episode.outcome.outcome, episode.annotation.note) == (Outcome.FAILURE, "it slipped")
    assert path.read_bytes() == recorded
    page.page.locator("#discard-episode").click()
    page.page.locator("#discard-episode").click()
    until(lambda: not path.exists(), "discarded episode")
    page.page.locator("#restore-episode").click()
    until(path.exists, "restored episode")


def test_an_adapter_is_promoted_and_rolled_back(page, stack):
    policy = VlaPolicy.load(ROOT / "models" / "lift_base", lora=LoraSettings(rank=2, alpha=4.0))
    tensors = {name: value * 0.01 for name, value in random_adapter(policy.model, 0).items()}
    store = AdapterStore(stack.data / "adapters")
    store.publish(tensors, adapter_config(LoraSettings(rank=2, alpha=4.0)), plain_manifest(policy), promote=False)
    page.page.keyboard.press("3")
    button = page.page.get_by_role("button", name="Promote adapter 1")
    button.wait_for()
    page.picture("learning", full_page=True)
    button.click()
    page.page.get_by_role("button", name=re.compile("press again|Promote adapter 1")).first.click()
    until(lambda: store.promotion().number == 1, "promotion")
    until(lambda: stack.adapters and stack.adapters[-1].requested_version == 1, "request of the policy")
    page.page.locator("#roll_back").click()
    page.page.locator("#roll_back").click()
    until(lambda: store.promotion().number == 0, "rollback")
    assert "(viewer" in store.promotion().reason
