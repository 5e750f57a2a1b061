"""The browser that the tests of HTML pages use: a Chromium that is installed here, driven with playwright.

Pages are opened from files, in a window of their own. What they write to the console, raise or request is kept: the
project's pages may do none of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: Names another browser of this family.
VARIABLE = "WIREDRV_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_ADVICE = (
    f"no Chromium: install it (`apt install chromium` on Debian, Google Chrome elsewhere, or `playwright install "
    f"--with-deps chromium`), or name its program in {VARIABLE}"
)


def find_chromium(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The browser's program: the one that ``WIREDRV_CHROMIUM`` names, one on the path, or playwright's own."""
    named = environment.get(VARIABLE)
    if named:
        return Path(named)
    for name in _NAMES:
        found = shutil.which(name, path=environment.get("PATH"))
        # On Ubuntu, chromium-browser is a script that asks for a snap.
        if found is not None and not _is_stub(Path(found)):
            return Path(found)
    if _MACOS.exists():
        return _MACOS
    folder = Path(environment.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return next(iter(sorted(folder.glob("chromium-*/chrome-linux*/chrome"), reverse=True)), None)


def _is_stub(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096)
    return start.startswith(b"#!") and b"snap install" in start


@contextmanager
def started_browser(*, scroll_bars: bool = True) -> Iterator[Browser]:
    """A browser without a window; skips the test where there is none, and fails it in continuous integration.

    :param scroll_bars: whether they take room, as on most people's screens.
    """
    program = find_chromium()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(_ADVICE)
        pytest.skip(_ADVICE)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=_ARGUMENTS, ignore_default_args=["--hide-scrollbars"] if scroll_bars else None
        )
        try:
            yield browser
        finally:
            browser.close()


class Windows:
    """Opens pages, and says what they did that they must not do."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.complaints: list[str] = []

    def open(
        self,
        path: Path,
        width: int = 1280,
        height: int = 800,
        *,
        dark: bool = False,
        calm: bool = True,
        touch: bool = False,
    ) -> Page:
        """Open a file in a window of its own.

        :param dark: whether the system prefers dark colours.
        :param calm: whether it asks for reduced motion.
        """
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if calm else "no-preference",
            has_touch=touch,
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: self.complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._ask(request.url, path))
        page.goto(path.as_uri())
        return page

    def _ask(self, url: str, path: Path) -> None:
        if url != path.as_uri() and not url.startswith("data:"):
            self.complaints.append(f"request: {url}")

    def close(self) -> None:
        """Close every window."""
        for context in self._browser.contexts:
            context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of a module; a longer life would keep its event loop in the thread where other tests start theirs."""
    with started_browser() as found:
        yield found


@pytest.fixture
def windows(browser: Browser) -> Iterator[Windows]:
    """Windows, and the proof that their pages raised, logged and requested nothing."""
    found = Windows(browser)
    try:
        yield found
    finally:
        found.close()
    assert found.complaints == []


def install(environment: Mapping[str, str] = os.environ, release: Path = Path("/etc/os-release")) -> None:
    """Install a Chromium: Debian's package, or playwright's own build where there is no such package.

    On Ubuntu, the package of this name asks for a snap.

    :raises subprocess.CalledProcessError: it cannot be installed.
    """
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    path = dict(environment)
    if release.exists() and "ID=debian" in release.read_text().splitlines():
        commands = [["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", "-y", "chromium"]]
        if all(subprocess.run([*as_root, *command], env=path).returncode == 0 for command in commands):
            return
    subprocess.run([sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"], env=path, check=True)


def main(arguments: Sequence[str]) -> int:
    """Say which browser the tests use; with ``--install``, install one if there is none."""
    if find_chromium() is None and "--install" in arguments:
        print(f"installing a Chromium for the tests of HTML pages ({VARIABLE} names another) ...", file=sys.stderr)
        install()
    found = find_chromium()
    print(f"browser: {found}" if found else _ADVICE, file=sys.stderr)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
