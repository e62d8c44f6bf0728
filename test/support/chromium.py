"""Chromium for tests of the console's page; importing this skips the test where Playwright is missing."""

import contextlib
import shutil

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install -r requirements/browser.in"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium")


@contextlib.contextmanager
def launcher(program=CHROMIUM):
    """A function that starts a browser, the program or the machine's own."""
    with sync_api.sync_playwright() as playwright:
        yield lambda: playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@contextlib.contextmanager
def launched():
    """A running browser."""
    with launcher() as launch, contextlib.closing(launch()) as browser:
        yield browser
