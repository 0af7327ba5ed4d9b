"""The stages of `benchmarks/gpu.sh`: what a failing task leaves behind, and what is told of each.

The whole of it is run by `benchmarks/gpu.sh --device cpu --tiny`, which takes minutes.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parent.parent / "benchmarks" / "gpu"
MODULES = ("__main__", "stages", "summary", "tasks")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a module of the folder by name."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", ["gpu"])

    def load(name: str) -> Any:
        if name != "__main__":
            return importlib.import_module(name)
        found = importlib.util.spec_from_file_location("gpu_main", FOLDER / "__main__.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    yield load
    for name in MODULES[1:]:
        sys.modules.pop(name, None)


def asked(folder: Path, **change: Any) -> argparse.Namespace:
    usual = {"out": folder, "budget": 60.0, "device": "cpu", "tiny": True}
    return argparse.Namespace(**usual | change)


def test_a_stage_goes_on_after_a_failure_and_keeps_what_it_has(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = gpu("__main__")
    seen: list[dict[str, Any]] = []

    def run(name: str, options: dict[str, Any], limit: float, log: Any) -> dict[str, Any]:
        if seen:  # what came before is on the disk
            assert len(json.loads((tmp_path / "gpu-bench.json").read_text())["tasks"]) == len(seen)
        seen.append(options)
        if name == "bad":
            return {"seconds": 1.0, "error": "failed with 1, see the log"}
        return {"seconds": 1.0, "figures": {"skipped": "no such package", "ok": False}}

    monkeypatch.setattr(main, "task_in_process", run)
    tasks = [("peers", "one", {}), ("bad", "two", {}), ("peers", "three", {"seconds": None})]
    lines = main.run_stage("bench", tasks, asked(tmp_path))
    assert lines == [
        ("bench: one", "NOT OK: skipped: no such package"),
        ("bench: two", "failed with 1, see the log"),
        ("bench: three", "NOT OK: skipped: no such package"),
    ]
    assert 10 <= seen[2]["seconds"] < 60, "a task without a time of its own gets what is left"
    report = json.loads((tmp_path / "gpu-bench.json").read_text())
    assert {"date", "device", "versions", "command"} <= report.keys()
    assert [task["title"] for task in report["tasks"]] == ["one", "two", "three"]


def test_no_task_begins_without_time(gpu: Any, tmp_path: Path) -> None:
    main = gpu("__main__")
    lines = main.run_stage("bench", [("peers", "late", {})], asked(tmp_path, budget=5.0))
    assert lines == [("bench: late", "not begun: no time left")]


def test_a_task_that_dies_or_hangs_is_stopped_with_what_it_started(
    gpu: Any, tmp_path: Path
) -> None:
    main = gpu("__main__")
    with (tmp_path / "log").open("w") as log:
        dead = main.task_in_process("no such task", {"device": "cpu"}, 100.0, log)
        started = time.monotonic()
        slow = main.task_in_process("learn", {"device": "cpu"}, 0.1, log)
    assert dead["error"] == "failed with 1, see the log"
    assert "KeyError" in (tmp_path / "log").read_text()
    assert slow["error"] == "stopped after 0 s"
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("tiny", [False, True])
def test_every_stage_has_tasks_that_there_are_and_can_be_written_down(gpu: Any, tiny: bool) -> None:
    tasks = gpu("tasks").TASKS
    for device in ("cpu", "cuda"):
        made = gpu("stages").stages(device, 5.0, tiny, 4)
        for name, _, options in (task for stage in made.values() for task in stage):
            assert name in tasks
            assert options["device"] == device
            assert json.loads(json.dumps(options))
    titles = [title for stage in made.values() for _, title, _ in stage]
    assert len(set(titles)) > 0.8 * len(titles)


def test_games_that_differ_are_counted_by_field(gpu: Any) -> None:
    differences = gpu("tasks").differences
    wanted = {game: {"moves": "a", "values": "b"} for game in range(5)}
    assert differences(wanted, wanted) == {}
    found = {game: dict(fields) for game, fields in wanted.items() if game != 4}
    found[2]["values"] = "c"
    assert differences(wanted, found) == {"missing": 1, "values": 1}


def test_rows_that_differ_in_a_bit_are_found(gpu: Any) -> None:
    logits, values = torch.zeros(4, 9), torch.zeros(4)
    other = logits.clone()
    other[1, 8] = 2.0**-149
    assert (
        gpu("tasks").unlike((logits, values), (other, values)).tolist()
        == [False, True] + [False] * 2
    )
    values = torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert gpu("tasks").unlike((logits, logits[:, 0]), (logits, values)).sum() == 1
