"""How torch's threads wait is settled by a look at the machine, unless the user has settled it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hex_ai.cli import company, main


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(os.environ)
    for name in company._CHOICES:
        monkeypatch.delenv(name, raising=False)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.5, 3.0])
def test_threads_sleep_in_company_only(
    busy: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(company, "_busy_processors", lambda: busy)
    company.wait_in_company()
    assert os.environ.get("OMP_WAIT_POLICY") == ("passive" if busy > 0.4 else None)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == (busy > 0.4)


@pytest.mark.parametrize("name", company._CHOICES)
def test_who_has_chosen_is_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(company, "_busy_processors", lambda: 9.0)
    company.wait_in_company()
    assert os.environ.get("OMP_WAIT_POLICY") == ("1" if name == "OMP_WAIT_POLICY" else None)
    assert capsys.readouterr() == ("", "")


def test_the_machine_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat = tmp_path / "stat"
    monkeypatch.setattr(company, "Path", lambda _: stat)
    assert company._busy_seconds() is None
    assert company._busy_processors() == 0.0
    for text in ("", "cpu 1 2", "intr 1 2 3 4 5 6 7 8"):
        stat.write_text(text, encoding="ascii")
        assert company._busy_seconds() is None
    numbers = " ".join(str(ticks * 10**k) for k in range(10))
    stat.write_text(f"cpu  {numbers}\ncpu0 1\n", encoding="ascii")
    assert company._busy_seconds() == 11100111  # neither idle nor waiting for a disk
    assert company._busy_processors() == 0.0


@pytest.mark.parametrize(
    ("arguments", "openvino", "looks"),
    [
        (["learn", "--out", "x"], True, True),
        (["selfplay"], True, False),
        (["selfplay"], False, True),
        (["export", "x"], False, False),
        (["--help"], False, False),
    ],
)
def test_only_what_torch_computes_looks(
    arguments: list[str], openvino: bool, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    monkeypatch.setattr(main, "wait_in_company", lambda: looked.append(True))
    monkeypatch.setattr(main.importlib.util, "find_spec", lambda _: True if openvino else None)
    main._settle_threads(arguments)
    assert bool(looked) == looks
