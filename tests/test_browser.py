"""Where the tests of HTML pages find a browser, and what happens where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import browser


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a browser; the folder is its path."""
    monkeypatch.setattr(browser, "_MACOS", tmp_path / "none")
    for name in (browser.VARIABLE, "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    return tmp_path


def _program(path: Path, text: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_browser_is_the_named_one_one_on_the_path_or_playwrights(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert browser.find_chromium() is None
    own = _program(bare / "playwright" / "chromium-1200" / "chrome-linux64" / "chrome")
    assert browser.find_chromium() == own
    _program(bare / "chromium-browser", "#!/bin/sh\necho this needs: snap install chromium\n")
    assert browser.find_chromium() == own, "not Ubuntu's script that asks for a snap"
    chrome = _program(bare / "google-chrome", "#!/bin/bash\nexec chrome\n")
    assert browser.find_chromium() == chrome
    monkeypatch.setenv(browser.VARIABLE, "/opt/brave")
    assert browser.find_chromium() == Path("/opt/brave")


def test_without_a_browser_the_tests_are_skipped_with_the_way_to_get_one(bare: Path) -> None:
    with (
        pytest.raises(pytest.skip.Exception, match=f"apt install chromium.*{browser.VARIABLE}"),
        browser.started_browser(),
    ):
        pass


def test_in_continuous_integration_they_fail(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"), browser.started_browser():
        pass


def test_it_is_installed_from_debians_packages(bare: Path) -> None:
    _program(bare / "sudo", '#!/bin/sh\nexec "$@"\n')
    _program(bare / "apt-get", f'#!/bin/sh\necho "$@" >> {bare}/asked\n')
    (bare / "os-release").write_text("NAME=Debian\nID=debian\n")
    browser.install({"PATH": str(bare)}, bare / "os-release")
    assert (bare / "asked").read_text() == "update -qq\ninstall -qq -y chromium\n"


def test_elsewhere_playwright_installs_its_own(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(bare / "python"))
    _program(bare / "python", f'#!/bin/sh\necho "$@" >> {bare}/asked\n')
    (bare / "os-release").write_text("ID=ubuntu\nID_LIKE=debian\n")
    browser.install({"PATH": str(bare)}, bare / "os-release")
    assert (bare / "asked").read_text() == "-m playwright install --with-deps chromium\n"
