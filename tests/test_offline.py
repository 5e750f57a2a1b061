"""The check that `make docs` ends with finds everything in a page, style or script that would contact another host."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.offline import main, requests

_HOST = "example.com"


@pytest.mark.parametrize(
    "name, text",
    [
        ("index.html", f'<script src="https://{_HOST}/a.js"></script>'),
        ("index.html", f'<script src="//{_HOST}/a.js"></script>'),
        ("index.html", f'<link rel="stylesheet" href="https://{_HOST}/a.css">'),
        ("index.html", f'<link rel="preconnect" href="https://{_HOST}">'),
        ("index.html", f'<link rel="icon" href="HTTPS://{_HOST}/icon.png">'),
        ("index.html", f'<img src="http://{_HOST}/a.png">'),
        ("index.html", f'<img srcset="small.png 1x, https://{_HOST}/a.png 2x">'),
        ("index.html", f'<iframe src="https://{_HOST}"></iframe>'),
        ("index.html", f'<form action="https://{_HOST}"></form>'),
        ("index.html", f'<p style="background: url(https://{_HOST}/a.png)"></p>'),
        ("index.html", f"<style>@import '//{_HOST}/a.css';</style>"),
        ("index.html", f'<meta http-equiv="refresh" content="0; url=https://{_HOST}">'),
        ("index.html", '<div data-md-component="source">repository</div>'),
        ("index.html", '<pre class="mermaid">graph</pre>'),
        ("below/style.css", f"@font-face {{ src: url('https://{_HOST}/a.woff2') }}"),
        ("assets/code.js", f'fetch("https://{_HOST}/figures")'),
        ("images/drawing.svg", f'<svg><image href="https://{_HOST}/a.png"/></svg>'),
    ],
)
def test_what_asks_another_host_is_found(tmp_path: Path, name: str, text: str) -> None:
    _write(tmp_path, "index.html", "<p></p>")
    _write(tmp_path, name, text)
    assert len(list(requests(tmp_path))) == 1
    assert main([str(tmp_path)]) == 1


@pytest.mark.parametrize(
    "name, text",
    [
        ("index.html", f'<a href="https://{_HOST}">a link for the reader</a>'),
        ("index.html", f'<link rel="canonical" href="https://{_HOST}/">'),
        ("index.html", '<script src="assets/code.js"></script><img src="images/a.png">'),
        ("index.html", '<svg xmlns="http://www.w3.org/2000/svg"></svg>'),
        ("index.html", f"<code>mongodb://{_HOST} https://{_HOST}</code>"),
        ("assets/code.js", f"/* from https://{_HOST} */ run()"),
        ("style.css", "a { background: url(images/a.png) }"),
    ],
)
def test_what_asks_nobody_is_not(tmp_path: Path, name: str, text: str) -> None:
    _write(tmp_path, "index.html", "<p></p>")
    _write(tmp_path, name, text)
    assert not list(requests(tmp_path))
    assert main([str(tmp_path)]) == 0


def test_a_folder_without_a_site_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "holds no site" in capsys.readouterr().err


def _write(site: Path, name: str, text: str) -> None:
    path = site / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
