"""The page of a real server in a real browser, for tests; the address of nobody else is asked."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Set where the tests of the page must not be skipped.
REQUIRED = "HEX_AI_TEST_BROWSER"

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_COMMAND = "from hex_ai.cli.main import main; main()"


def lacking(what: str) -> None:
    """Skips a test for which something is not installed, or fails where it must be."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def browser_path() -> str:
    """The Chromium of this machine; skips the test if there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        lacking("Chromium")
    return str(found)


def page_tool(name: str) -> Path:
    """A file of the packages that `make page-tools` installs; skips the test if it is not there."""
    path = ROOT / ".venv" / "node" / "node_modules" / name
    if not path.exists():
        lacking(name)
    return path


@contextmanager
def begun_server(*flags: str | Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server that can be asked, and its address; it ends with the block at the latest."""
    command = [sys.executable, "-c", _COMMAND, "serve", "--port", "0", *map(str, flags)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            address = re.findall(r"http://\S+", line)
            assert address, (line, server.stderr and server.stderr.read())
            yield server, address[0]
        finally:
            server.kill()


@contextmanager
def served(*flags: str | Path) -> Iterator[str]:
    """The address of a server that ends with the block, by Ctrl-C and without a complaint."""
    with begun_server(*flags) as (server, address):
        try:
            yield address
        finally:
            server.send_signal(signal.SIGINT)
            _, complaint = server.communicate(timeout=10)
    assert server.returncode == 128 + signal.SIGINT
    assert complaint == ""


@contextmanager
def playing(folder: Path, *flags: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A run of self-play by a process of its own, from its first progress on."""
    command = [sys.executable, "-c", _COMMAND, "selfplay", "--out", str(folder), *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            until = time.monotonic() + 60
            while not (folder / "progress.json").exists() and time.monotonic() < until:
                assert run.poll() is None
                time.sleep(0.05)
            yield run
        finally:
            run.kill()
