"""``wiredrv demo``, which is not installed with the driver."""

from __future__ import annotations

import pytest

from wiredrv.cli.main import main


@pytest.mark.parametrize("arguments", [[], ["--backend", "trio"]])
def test_the_installed_command_says_how_to_run_the_demo(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *arguments]) == 1
    told = capsys.readouterr().err
    assert "git clone https://github.com/wiredrv/wiredrv" in told
    assert "make demo" in told
