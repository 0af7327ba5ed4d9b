"""What an engine answers before torch and its network are there, and what comes of the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from forked import Run
from inference_toys import random_network

from hex_ai import __version__
from hex_ai.network.checkpoint import save_checkpoint

ENGINE = (sys.executable, "-c", "from hex_ai.cli.main import main; main()", "htp")

OWN = """
from hex_ai.network.architecture import register_architecture
from hex_ai.network.resnet import HexNetwork, NetworkConfig

@register_architecture("own", NetworkConfig)
class Own(HexNetwork): ...
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A pipe. Who reads it is held up until somebody has opened it for writing, and closed it."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.pt"
    save_checkpoint(path, random_network(4), {})
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("sent", [None, signal.SIGINT, signal.SIGTERM])
def test_the_name_is_told_while_torch_loads(
    sent: signal.Signals | None, gate: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text(f"open({str(gate)!r}).read()\nraise ImportError('no\\ngo')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with (
        subprocess.Popen(
            ENGINE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        ) as process,
        ExitStack() as at_end,
    ):
        at_end.callback(process.kill)  # a test that fails waits for it no longer
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for line, reply in (
            ("1 name", "=1 hex_ai"),
            ("# who?\n\n version # so", f"= {__version__}"),
            ("3 protocol_version", "=3 2"),
        ):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert [process.stdout.readline() for _ in range(2)] == [f"{reply}\n", "\n"]
        process.stdin.write("showboard\nname\n")  # waits, and what comes after it too
        process.stdin.flush()
        with gate.open("w"):  # it has begun to load torch
            if sent is not None:
                process.send_signal(sent)
                process.wait(60)
        said = "" if sent else "error: cannot load hex-ai: no go\n"
        # Its standard input is open: it does not wait for the asker.
        assert (process.stderr.read(), process.stdout.read()) == (said, "")
        assert process.wait(60) == (128 + sent if sent else 1)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("last", ["7 quit\nname\n", "7 quit", ""])
def test_what_was_asked_while_the_engine_loads_is_answered_in_order(
    last: str, gate: Path, tmp_path: Path, model: Path
) -> None:
    module = tmp_path / "own.py"
    module.write_text(f"open({str(gate)!r}).read()\n{OWN}")
    run = Run("htp", "--architecture-module", str(module), "--model", str(model))
    run.stdin.write(b"# interrupt\n1 name\n")
    run.stdin.flush()
    assert [run.stdout.readline() for _ in range(2)] == ["=1 hex_ai\n", "\n"]
    with gate.open("w"):
        run.stdin.write(b"2 boardsize 2\n3 name\n\n4 known_command genmove\n# interrupt\n")
        run.stdin.write(b"5 genmove b\n6 bogus\n" + last.encode())
    out, err = run.wait()
    assert (run.status, err) == (0, "")
    first, second, third, fourth, *others = out.split("\n\n")
    assert (first, second, third) == ("=2 ", "=3 hex_ai", "=4 true")
    assert fourth[:3] == "=5 "
    assert others == ["?6 unknown command: bogus", *(["=7 "] if last else []), ""]
    assert (run.status, err) == (0, "")


def test_a_fault_found_later_ends_it_in_one_line(tmp_path: Path) -> None:
    run = Run("htp", "--model", str(tmp_path / "none.pt"))
    out, err = run.wait(b"name\ngenmove b\nname\n")
    assert (run.status, out) == (4, "= hex_ai\n\n")
    (line,) = err.splitlines()
    assert f"{tmp_path}/none.pt" in line


def test_help_answers_nobody() -> None:
    run = Run("htp", "--help")
    out, err = run.wait(b"name\n")
    assert (run.status, err) == (0, "")
    assert "= hex_ai" not in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_the_first_reply_is_told(model: Path) -> None:
    with open("/dev/full", "w") as full:
        run = Run("htp", "--model", str(model), stdout=full.fileno())
    _, err = run.wait(b"name\n")
    assert run.status == 6
    assert len(err.splitlines()) == 1
