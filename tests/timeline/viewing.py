"""What the tests of a timeline's page look at in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Opens the page of some records: the fixture ``show``.
Show: TypeAlias = "Callable[..., Page]"


def status(page: Page) -> str:
    return page.inner_text("#status")


def span(page: Page) -> float:
    """The time in view, in microseconds."""
    words = page.inner_text("#in-view").split()
    return float(words[0].replace(",", "")) * {"µs": 1, "ms": 1e3, "s": 1e6}[words[1]]


def settled(page: Page) -> None:
    """After the next two frames."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def has_color(page: Page, canvas: str, name: str, area: tuple[int, int, int, int] | None = None, near: int = 0) -> bool:
    """Whether a canvas has a pixel of one of the page's colours.

    :param area: left, top, width and height of the part that is looked at; None is all of it.
    :param near: by how much the parts of the colour may differ in all; text is drawn in shades.
    """
    settled(page)
    program = """([id, name, area, near]) => {
      const style = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
      const [r, g, b] = [1, 3, 5].map((k) => parseInt(style.slice(k, k + 2), 16));
      const canvas = document.getElementById(id);
      const copy = document.createElement("canvas");
      [copy.width, copy.height] = [canvas.width, canvas.height];
      const pen = copy.getContext("2d", { willReadFrequently: true });
      pen.drawImage(canvas, 0, 0);
      const { data } = pen.getImageData(...(area || [0, 0, copy.width, copy.height]));
      for (let k = 0; k < data.length; k += 4) {
        const away = Math.abs(data[k] - r) + Math.abs(data[k + 1] - g) + Math.abs(data[k + 2] - b);
        if (away <= near && data[k + 3] === 255) return true;
      }
      return false;
    }"""
    return bool(page.evaluate(program, [canvas, name, area, near]))


def lanes(page: Page) -> list[str]:
    """The names of the lanes, from the top."""
    settled(page)
    return [" ".join(text.split()) for text in page.locator("#lane-names .lane button").all_inner_texts()]


def sideways(page: Page) -> int:
    """By how much the page is wider than its window."""
    return int(page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth"))


def middle(page: Page, selector: str = "#lanes") -> tuple[float, float, float, float]:
    """Where an element is: left, top, width and height."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]
