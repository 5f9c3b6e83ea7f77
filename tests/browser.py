"""Pages in a real headless Chromium: what they show, what they complain of, and what they ask the network for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright import sync_api

# Widths of a window, in CSS pixels.
DESKTOP, PHONE = 1280, 390
_HEIGHT = 900
_COMMANDS = ("chromium", "chromium-browser", "google-chrome")
_INSIDE = ("data:", "blob:")


def find_chromium() -> str | None:
    """The browser of DOGCAT_CHROMIUM, or the first of the usual names on PATH."""
    found = (shutil.which(command) for command in _COMMANDS)
    return os.environ.get("DOGCAT_CHROMIUM") or next(filter(None, found), None)


class Page:
    """An open page.

    Attributes:
        shown: Playwright's page: `shown.keyboard.press("Tab")`, `shown.locator("h1").inner_text()`.
        errors: What the page wrote on the console as errors, or threw.
        outside: Addresses it asked for, or tried to, other than its own file or server, data: and blob:.
    """

    def __init__(self, shown: sync_api.Page, address: str) -> None:
        self.shown = shown
        self.errors: list[str] = []
        self.outside: list[str] = []
        self._address = address
        shown.on("console", self._hear)
        shown.on("pageerror", lambda error: self.errors.append(str(error)))
        shown.on("request", self._watch)

    def _hear(self, message: sync_api.ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _watch(self, request: sync_api.Request) -> None:
        is_own = request.url.partition("#")[0] == self._address or (
            self._address.startswith("http") and request.url.startswith(self._address)
        )
        if not is_own and not request.url.startswith(_INSIDE):
            self.outside.append(request.url)

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        return self.shown.screenshot(full_page=True)

    def is_wider_than_window(self) -> bool:
        """Whether the page as a whole would have to be moved sideways."""
        return self.shown.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


class Browser:
    """A running Chromium; a context manager. Its pages are offline but for files, and for a server of this machine."""

    def __init__(self, executable: str) -> None:
        self._playwright = sync_api.sync_playwright().start()
        # Chromium has no sandbox for root, and tests in containers run as root.
        self._chromium = self._playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *raised: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    def close_pages(self) -> None:
        """Closes every page."""
        for context in self._chromium.contexts:
            context.close()

    def open(self, path: Path, width: int = DESKTOP, dark: bool = False) -> Page:
        """Opens a file of the disk, and waits until all of it is loaded."""
        return self._open(path.resolve().as_uri(), width, dark, offline=True)

    def open_server(self, address: str, width: int = DESKTOP, dark: bool = False) -> Page:
        """The same of a page that a server of this machine serves."""
        return self._open(address, width, dark, offline=False)

    def _open(self, address: str, width: int, dark: bool, offline: bool) -> Page:
        scheme = "dark" if dark else "light"
        viewport = {"width": width, "height": _HEIGHT}
        context = self._chromium.new_context(viewport=viewport, color_scheme=scheme, offline=offline)
        page = Page(context.new_page(), address)
        page.shown.goto(address, wait_until="load")
        return page
