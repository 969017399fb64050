"""The page in a real browser: no error, no request, no page wider than its window, and tables that sort.

Chromium is driven over ``--remote-debugging-pipe``, which needs no further package: messages of the DevTools protocol
are JSON ended by a zero byte, read and written through two pipes.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leukfeat.reports.comparison import compare

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (apt-get install chromium)")

_PATIENCE = 60  # seconds for one answer, on a machine that does much else


class Browser:
    """One headless Chromium with one tab.

    Parameters
    ----------
    home : Path
        For its profile.
    """

    def __init__(self, home: Path) -> None:
        to_child, self._write = os.pipe()
        self._read, from_child = os.pipe()

        def place_pipes() -> None:
            spare = os.dup(to_child), os.dup(from_child)  # neither is 3 or 4 now, or one would be overwritten
            os.dup2(os.dup(spare[0]), 3)
            os.dup2(os.dup(spare[1]), 4)

        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
        quiet = ("--no-first-run", "--disable-extensions", "--disable-background-networking", "--mute-audio")
        self._process = subprocess.Popen(
            [str(CHROMIUM), *flags, *quiet, f"--user-data-dir={home}", "--remote-debugging-pipe", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=place_pipes,
        )
        os.close(to_child)
        os.close(from_child)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and give its result; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("chromium does not answer")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise RuntimeError("chromium has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, file: Path, width: int, height: int = 900) -> None:
        """Show a file in a window of a width."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=file.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["text"])
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key, pressed and let go."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, file: Path) -> Path:
        """The whole page as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))
        return file

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions."""
        told = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                told.append(params["entry"]["text"])
            elif event.get("method") == "Runtime.exceptionThrown":
                told.append(params["exceptionDetails"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled":
                told.append(str(params["args"]))
        return told

    @property
    def requests(self) -> list[str]:
        """Everything that was asked for but the page itself and what it carries."""
        asked = (e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return [url for url in asked if not url.startswith("data:")][1:]

    def close(self) -> None:
        """End the process that was started here."""
        os.close(self._write)
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE)
        os.close(self._read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(two, tmp_path_factory) -> Path:
    """A report of three runs, one of them with a name that tries to be markup."""
    odd = replace(two("a very long name of a network <img src=x onerror=alert(1)> → head", gap=0.6))
    folder = tmp_path_factory.mktemp("report")
    return compare([two("svm", gap=1.2), two("forest", gap=0.4), odd]).to_html(folder / "report.html")


def test_the_page_is_quiet_alone_and_no_wider_than_its_window(browser, page):
    for width in (1280, 400):
        browser.open(page, width)
        assert browser.evaluate("document.querySelectorAll('section').length") > 10
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(_BROKEN_IMAGES) == 0
        browser.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.complaints == []
        assert browser.requests == []
        shot = browser.screenshot(page.with_name(f"page-{width}.png"))
        assert shot.stat().st_size > 20_000


def test_the_check_for_wide_pages_can_fail(browser, tmp_path):
    # a test that cannot fail is a defect: this page is too wide, asks for a file and complains
    wide = tmp_path / "wide.html"
    wide.write_text(
        "<body style='margin: 0'><div style='width: 2000px'>wide</div><img src='gone.png'>"
        "<script>console.error('no')</script>"
    )
    browser.open(wide, 400)
    assert browser.evaluate("document.documentElement.scrollWidth") == 2000
    assert browser.requests
    assert browser.requests[0].endswith("gone.png")
    assert browser.complaints


_BROKEN_IMAGES = """Promise.all([...document.images].map(image => image.decode().catch(() => 0))).then(() =>
  [...document.images].filter(image => !image.naturalWidth).length)"""

_LOST_LINKS = """[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))
  .filter(place => !place.startsWith('#') || !document.getElementById(place.slice(1)))"""

_COLUMN = """(title => {
  const head = [...document.querySelectorAll('#by-cell th')].find(one => one.textContent === title);
  return {sort: head.getAttribute('aria-sort'),
          keys: [...document.querySelectorAll('#by-cell tbody tr')].map(row => row.cells[head.cellIndex].dataset.sort)};
})('AUROC')"""


def test_a_table_is_sorted_by_the_keyboard_and_says_so(browser, page):
    browser.open(page, 1280)
    best_first = browser.evaluate(_COLUMN)
    assert best_first["sort"] is None
    browser.evaluate(
        "[...document.querySelectorAll('#by-cell th button')].find(one => one.textContent === 'AUROC').focus()"
    )
    browser.press("Enter", 13)
    falling = browser.evaluate(_COLUMN)
    assert falling["sort"] == "descending"
    browser.press("Enter", 13)
    rising = browser.evaluate(_COLUMN)
    assert rising["sort"] == "ascending"
    values = [float(key) for key in rising["keys"]]
    assert values == sorted(values)
    assert falling["keys"] == rising["keys"][::-1]
    assert len(set(values)) == 3


def test_a_link_into_a_folded_part_opens_it(browser, page):
    browser.open(page, 1280)
    assert browser.evaluate("document.getElementById('tripod-ai').open") is False
    browser.evaluate("location.hash = '#tripod-ai'; new Promise(done => setTimeout(done, 100))")
    assert browser.evaluate("document.getElementById('tripod-ai').open") is True


def test_every_link_of_the_page_leads_somewhere(browser, page):
    browser.open(page, 1280)
    assert browser.evaluate("document.querySelectorAll('a').length") > 20
    assert browser.evaluate(_LOST_LINKS) == []


def test_the_page_prints_with_names_that_can_be_read(browser, page):
    # A4 across, less its margins, is 1032 CSS pixels wide; names of a full table once had a column of one letter
    browser.open(page, 1032)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 1032
    browser.call("Emulation.setDeviceMetricsOverride", width=600, height=900, deviceScaleFactor=1, mobile=False)
    narrowest = "Math.min(...[...document.querySelectorAll('#by-cell td:first-child')].map(cell => cell.offsetWidth))"
    assert browser.evaluate(narrowest) > 80
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.pdf().startswith(b"%PDF")
    assert browser.evaluate("[...document.querySelectorAll('details')].every(part => part.open)") is True
