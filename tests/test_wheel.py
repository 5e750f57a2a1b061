"""What is installed: the driver and its command line, and nothing of the repository around them."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Bytes: the size of the compressed file, which is what a user downloads. The synchronous classes, which repeat the
#: docstrings of the asynchronous ones, are 54,000 of them, and the HTML page of timelines 30,000.
LARGEST = 860_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as ``pip install`` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("wiredrv-*.whl")
    return path


def _files(wheel: Path) -> set[PurePosixPath]:
    with ZipFile(wheel) as archive:
        return {PurePosixPath(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = _files(wheel)
    package = {path for path in files if path.parts[0] == "wiredrv"}
    assert {path.parts[0].partition("-")[0] for path in files} == {"wiredrv"}
    expected = {PurePosixPath(path.relative_to(ROOT).as_posix()) for path in (ROOT / "wiredrv").rglob("*.py")}
    page = (ROOT / "wiredrv" / "timeline" / "page").iterdir()
    assets = {
        PurePosixPath(path.relative_to(ROOT).as_posix()) for path in page if path.suffix in (".html", ".css", ".js")
    }
    assert len(assets) > 2
    assert package == expected | assets | {PurePosixPath("wiredrv/py.typed")}
    assert not any("demo" in path.parts for path in files)


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST


def test_the_wheel_has_the_command_and_the_licence(wheel: Path) -> None:
    (metadata,) = {path.parts[0] for path in _files(wheel) if path.parts[0] != "wiredrv"}
    with ZipFile(wheel) as archive:
        points = configparser.ConfigParser()
        points.read_string(archive.read(f"{metadata}/entry_points.txt").decode())
        assert dict(points["console_scripts"]) == {"wiredrv": "wiredrv.cli.main:main"}
        assert b"Apache License" in archive.read(f"{metadata}/licenses/LICENSE")


def test_the_driver_can_be_used_from_the_wheel_alone(wheel: Path) -> None:
    """Nothing that is installed imports what stays in the repository."""
    program = (
        "import importlib, pkgutil, sys, wiredrv\n"
        f"assert wiredrv.__file__.startswith({str(wheel)!r}), wiredrv.__file__\n"
        "for module in pkgutil.walk_packages(wiredrv.__path__, 'wiredrv.'):\n"
        "    module.name.endswith('__main__') or importlib.import_module(module.name)\n"
        "outside = {'demo', 'spec_tests', 'tests', 'benchmarks', 'docs'} & set(sys.modules)\n"
        "assert not outside, outside\n"
    )
    environment = {"PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=wheel.parent, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
