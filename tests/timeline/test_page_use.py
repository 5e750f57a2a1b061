"""How the HTML page of a timeline is used: keyboard, filter, zoom, colours, phones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Windows
from tests.timeline.recordings import HEADER, NEXT, SESSION, bank, command
from tests.timeline.viewing import Show, has_color, lanes, middle, settled, sideways, span, status
from wiredrv.timeline.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PHONE = {"width": 400, "height": 800}


# --- keyboard ---


def test_the_keyboard_reaches_every_command_and_event(show: Show) -> None:
    page = show(bank())
    page.focus("#scroller")
    page.keyboard.press("ArrowRight")
    assert status(page).startswith("find bank.accounts, 20.0 ms, succeeded, session 3fa9c1d2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert status(page).startswith("update bank.accounts, 12.0 ms, failed: OperationFailure 112")
    assert status(page).endswith("3 of 6")
    page.keyboard.press("ArrowDown")
    assert "session 77b0aa10" in status(page)
    page.keyboard.press("End")
    assert status(page).startswith("commitTransaction bank")
    page.keyboard.press("Home")
    assert status(page).startswith("aggregate bank.audit")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert "primary 127.0.0.1:27017" in status(page)
    page.keyboard.press("End")
    assert f"primary {NEXT}" in status(page)
    page.keyboard.press("ArrowDown")
    assert "session 3fa9c1d2" in status(page)
    page.keyboard.press("Enter")
    assert "commitTransaction" in page.inner_text("#details h2")
    assert page.evaluate("document.activeElement.id") == "details"
    page.keyboard.press("Escape")
    assert page.locator("#details").is_hidden()
    assert page.evaluate("document.activeElement.id") == "scroller"


def test_e_goes_from_error_to_error(show: Show) -> None:
    page = show(bank())
    page.keyboard.press("e")
    assert "OperationFailure 112" in status(page)
    page.keyboard.press("e")
    assert "NetworkTimeout" in status(page)
    page.keyboard.press("e")
    page.keyboard.press("e")
    assert status(page) == "no later error"
    page.keyboard.press("E")
    assert "NetworkTimeout" in status(page)


def test_slash_filters_and_question_mark_helps(show: Show) -> None:
    page = show(bank())
    page.keyboard.press("/")
    page.keyboard.type("aggregate")
    assert page.input_value("#filter") == "aggregate"
    page.keyboard.press("Escape")
    assert page.input_value("#filter") == ""
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "scroller"
    page.keyboard.press("?")
    assert page.locator("#help-box").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help-box").is_hidden()


def test_every_control_has_a_name_and_the_table_has_what_the_canvas_shows(show: Show) -> None:
    page = show(bank())
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, input')].filter((e) => !(e.getAttribute('aria-label')"
        " || e.textContent.trim() || (e.labels && e.labels.length))).map((e) => e.outerHTML)"
    )
    assert nameless == []
    page.keyboard.press("t")
    commands = page.locator("#table table").first
    assert commands.get_by_role("row").count() == 15
    failures = commands.get_by_role("row").filter(has_text="✕")
    assert failures.count() == 3
    assert "update" in failures.first.inner_text()
    events = page.locator("#table table").nth(1)
    for words in ("primary", "pool cleared", "pin", "✓ committed", "? outcome unknown", "↻ is retried"):
        assert events.get_by_role("row").filter(has_text=words).count() >= 1, words
    page.keyboard.press("e")
    assert "update" in page.locator("tr.chosen").inner_text()
    commands.get_by_role("button", name="aggregate").press("Enter")
    assert "aggregate" in page.locator("tr.chosen").inner_text()
    assert "aggregate bank.audit" in page.inner_text("#details h2")


# --- filter ---


@pytest.mark.parametrize(
    "words, found",
    [
        ("find", 5),
        ("FIND audit", 1),
        ("command:commit", 2),
        ("collection:bank.audit", 3),
        (f"session:{SESSION[:6]}", 6),
        ("session:implicit", 4),
        ("server:27018", 1),
        ("error:112", 1),
        ("TransientTransactionError", 1),
        ("transaction:2", 2),
        ("nothing:of the kind", 0),
    ],
)
def test_the_filter_finds_by_every_field(filtering: Page, words: str, found: int) -> None:
    filtering.fill("#filter", words)
    filtering.locator("#found", has_text=f"{found} of 14 commands").wait_for()
    assert filtering.locator("#found").inner_text() == f"{found} of 14 commands"
    assert filtering.locator("#empty").is_visible() == (found == 0)


@pytest.fixture(scope="module")
def filtering(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One window for all cases of the filter."""
    path = tmp_path_factory.mktemp("filter") / "timeline.html"
    write_page(bank(), path)
    windows = Windows(browser)
    yield windows.open(path)
    assert windows.complaints == []


def test_errors_only_and_back(show: Show) -> None:
    page = show(bank())
    page.check("#errors")
    assert page.inner_text("#found") == "3 of 14 commands"
    page.fill("#filter", "aggregate")
    page.click("text=Clear the filter")
    assert page.inner_text("#found") == ""
    assert not page.is_checked("#errors")
    assert len(lanes(page)) == 4


# --- zoom ---


def test_wheel_keys_buttons_and_drags_zoom_and_move(show: Show) -> None:
    page = show(bank())
    x, y, width, height = middle(page)
    whole = span(page)

    def after(action: Callable[[], object]) -> float:
        action()
        settled(page)
        return span(page)

    page.mouse.move(x + width / 2, y + height - 5)
    wheeled = after(lambda: page.mouse.wheel(0, -200))
    assert wheeled < 0.75 * whole
    pressed = after(lambda: page.keyboard.press("+"))
    assert pressed == pytest.approx(0.6 * wheeled, rel=0.02)
    clicked = after(lambda: page.click("#zoom-out"))
    assert clicked == pytest.approx(wheeled, rel=0.02)
    page.mouse.move(x + width / 2, y + height - 5)
    assert after(lambda: page.mouse.wheel(0, 100)) > wheeled
    assert after(lambda: page.keyboard.press("0")) == whole

    def drag(selector: str, start: float, end: float, down: float, key: str = "") -> None:
        box = middle(page, selector)
        if key:
            page.keyboard.down(key)
        page.mouse.move(box[0] + start * box[2], box[1] + down)
        page.mouse.down()
        page.mouse.move(box[0] + end * box[2], box[1] + down, steps=3)
        page.mouse.up()
        if key:
            page.keyboard.up(key)

    assert after(lambda: drag("#head", 0.25, 0.5, 10)) == pytest.approx(whole / 4, rel=0.02)
    page.click("#fit")
    assert after(lambda: drag("#lanes", 0.2, 0.7, height - 5, "Shift")) == pytest.approx(whole / 2, rel=0.02)
    assert after(lambda: drag("#lanes", 0.7, 0.2, height - 5)) == pytest.approx(whole / 2, rel=0.02)
    assert after(lambda: drag("#overview", 0.5, 0.6, 10)) == pytest.approx(whole / 2, rel=0.02)
    page.keyboard.press("0")
    assert after(lambda: drag("#overview", 0.4, 0.5, 10)) == pytest.approx(whole / 10, rel=0.05)
    page.keyboard.press("e")
    page.keyboard.press("z")
    settled(page)
    assert span(page) == pytest.approx(36_000, rel=0.01), "the command of 12 ms in the middle third"


# --- colours, sizes ---


def test_dark_follows_the_system_until_it_is_chosen(show: Show) -> None:
    page = show(bank(), dark=True)
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    assert has_color(page, "lanes", "server")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 28)"
    page.emulate_media(color_scheme="light")
    settled(page)
    assert page.evaluate(theme) == "light"
    assert has_color(page, "lanes", "server"), "drawn again in the new colours"
    page.click("#theme")
    page.click("#theme")
    assert page.inner_text("#theme") == "● Dark"
    assert page.evaluate(theme) == "dark"
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(theme) == "dark", "kept for the next time"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(show: Show, theme: str) -> None:
    """WCAG 2.2, 1.4.3 and 1.4.11: 4.5 for text, 3 for what else carries a meaning."""
    page = show(bank(), dark=theme == "dark")
    ratio = """([one, other]) => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue("--" + name).trim();
        const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255)
          .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
      };
      const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
      return high / low;
    }"""
    for back in ("panel", "back"):
        for name in ("ink", "quiet", "bad", "committed", "aborted", "unknown", "mark", "cluster", "operation", "focus"):
            assert page.evaluate(ratio, [name, back]) >= 4.5, (name, back)
        for name in ("server", "selection", "connection", "pin"):
            assert page.evaluate(ratio, [name, back]) >= 3, (name, back)
    assert page.evaluate(ratio, ["on-server", "server"]) >= 4.5
    assert page.evaluate(ratio, ["on-bad", "bad"]) >= 4.5


def test_a_phone_shows_everything_without_scrolling_sideways(show: Show) -> None:
    page = show(
        bank(),
        title="A long title of a recording: /home/somebody/recordings/2026-11-22-with-a-long-name.jsonl",
        touch=True,
        **_PHONE,
    )
    assert sideways(page) <= 0
    assert lanes(page)[0] == "session 3fa9c1d2"
    x, y, width, height = middle(page)
    assert width == 400
    assert height > 200, "room for lanes"
    page.touchscreen.tap(x + 400 * 0.15, y + 24 + 19 + 10)
    assert "find bank.accounts" in page.inner_text("#details h2")
    assert sideways(page) <= 0
    assert middle(page)[3] > 100, "the lanes stay in view"
    page.click("#details [aria-label='Close the details']")
    page.click("#show-table")
    assert sideways(page) <= 0
    assert page.evaluate("document.getElementById('table').scrollWidth") <= 400
    page.click("#help")
    assert sideways(page) <= 0
    box = page.locator("#help-box").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400


def test_two_fingers_zoom(show: Show) -> None:
    page = show(bank(), touch=True, **_PHONE)
    x, y, _, height = middle(page)
    before = span(page)
    device = page.context.new_cdp_session(page)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x + place, "y": y + height - 20, "id": k} for k, place in enumerate(places)]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 150, 250)
    touch("touchMove", 100, 300)
    touch("touchMove", 50, 350)
    touch("touchEnd")
    settled(page)
    assert span(page) == pytest.approx(before / 3, rel=0.05)


@pytest.mark.parametrize("width, height", [(1280, 800), (400, 800), (900, 400)])
def test_lanes_scroll_below_a_time_scale_of_their_width(show: Show, width: int, height: int) -> None:
    many = [command(n + 1, n * 10_000, session=f"{n:032x}") for n in range(60)]
    page = show([HEADER, *many], width=width, height=height)
    settled(page)
    assert page.evaluate("scroller.clientHeight") < 800
    assert page.evaluate("scroller.offsetWidth - scroller.clientWidth") > 0
    left, _, wide, _ = middle(page, "#head")
    assert (left, wide) == (middle(page)[0], middle(page)[2])
    assert wide == page.evaluate("document.getElementById('head').width")


def test_less_motion_is_respected(show: Show) -> None:
    page = show(bank(), calm=True)
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('details').getAnimations().length") == 0
    assert page.evaluate("getComputedStyle(document.getElementById('details')).animationName") == "none"
