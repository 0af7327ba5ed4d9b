"""Files of weights are written wholly or not at all, and every fault of a path names it."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
from hostile_files import refusal, small_network

from hex_ai.errors import CheckpointError
from hex_ai.network.checkpoint import load_checkpoint, save_checkpoint
from hex_ai.network.import_weights import import_weights


def test_a_file_larger_than_the_process_may_write_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    save_checkpoint(path, small_network(1))
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"net\.pt': File too large"):
            save_checkpoint(path, small_network(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_step_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "net.pt.gz"
    save_checkpoint(path, small_network(1))
    old = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(CheckpointError, match=r"net\.pt\.gz': No space left on device"):
        save_checkpoint(path, small_network(2))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_gets_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "net.pt", []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        events.append(f"fsync {os.readlink(f'/proc/self/fd/{handle}')}")
        fsync(handle)

    def watched_replace(draft: Path, target: Path) -> None:
        events.append(f"replace {draft}")
        replace(draft, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    save_checkpoint(path, small_network())
    draft = events[1].removeprefix("replace ")
    assert events == [f"fsync {draft}", f"replace {draft}", f"fsync {tmp_path}"]
    assert Path(draft).parent == tmp_path


def test_folders_and_missing_folders_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "dir.pt").mkdir()
    for path, reason in [
        (tmp_path / "dir.pt", "Is a directory"),
        (tmp_path / "none" / "net.pt", "No such file or directory"),
    ]:
        with pytest.raises(CheckpointError, match=f"{path.name}': {reason}"):
            save_checkpoint(path, small_network())
    assert [path.name for path in tmp_path.iterdir()] == ["dir.pt"]


def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    os.mkfifo(tmp_path / "fifo.pt")
    (tmp_path / "empty.pt").touch()
    with open(tmp_path / "huge.pt", "wb") as file:
        file.truncate(2**31)
    for load in (load_checkpoint, lambda path: import_weights(path, "hex-resnet")):
        assert "No such file or directory" in refusal(tmp_path / "none.pt", load)
        assert "is not a file" in refusal(tmp_path / "folder.pt", load)
        assert "is not a file" in refusal(tmp_path / "fifo.pt", load)
        assert "has 2147483648 bytes, the limit is 1073741824" in refusal(
            tmp_path / "huge.pt", load
        )
        assert "is not a path" in refusal(tmp_path / "nul\0.pt", load)
        refusal(tmp_path / "empty.pt", load)


def test_an_unreadable_file_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt"
    save_checkpoint(path, small_network())

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # Not by chmod: the superuser reads everything.
    monkeypatch.setattr("builtins.open", refuse)
    assert "Permission denied" in refusal(path, load_checkpoint)


def test_an_odd_path_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "new\nline \x1b[31m\udcff.pt"
    path.write_bytes(b"x" * 100)
    assert "is not a checkpoint" in refusal(path, load_checkpoint)
