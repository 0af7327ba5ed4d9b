"""What the page's server bears: strangers on bare sockets, networks that fail, and its own end."""

import asyncio
import json
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("starlette")

from evaluators import Uniform
from starlette.testclient import TestClient
from web_page import begun_server

from hex_ai.errors import SettingError
from hex_ai.web import app, guard, run_pages, server
from hex_ai.web.analyst import AT_ONCE, Analyst
from hex_ai.web.app import build_app
from hex_ai.web.runs import Runs

JSON = "Content-Type: application/json\r\n"


class Failing(Uniform):
    """Fails as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.value = 0.0

    def batch_infer(self, positions: Any) -> Any:
        if self.error:
            raise self.error
        logits, values = super().batch_infer(positions)
        return logits, values + self.value


@pytest.fixture
def network() -> Failing:
    return Failing()


@pytest.fixture
def port(network: Failing, tmp_path: Path) -> Iterator[int]:
    """Of a server in this process."""
    with (
        Analyst(network, torch.device("cpu"), "digest") as analyst,
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**12)  # soon full
        config = server.settings(build_app(analyst, Runs(tmp_path)))
        ready = threading.Event()
        serving = server.Server(config, ready.set, analyst)
        thread = threading.Thread(target=serving.run, args=([listener],))
        thread.start()
        assert ready.wait(20)
        yield listener.getsockname()[1]
        serving.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def asked(path: str, body: object = None, more: str = "") -> bytes:
    method, data = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    length = f"{JSON}Content-Length: {len(data)}\r\n" if data else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{more}\r\n".encode() + data


def search(size: int = 5, **more: Any) -> bytes:
    position = {"size": size, "stones": "." * size**2, "turn": "red"}
    return asked("/api/search", {"position": position} | (more or {"seconds": 50}))


def said(port: int, request: bytes, until: bytes = b"") -> bytes:
    """What a server says to a request before it hangs up, or up to some bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as visitor:
        visitor.sendall(request)
        heard = b""
        while piece := visitor.recv(2**16):
            heard += piece
            if until and until in heard:
                break
        return heard


def vanish(visitor: socket.socket) -> None:
    """Ends a connection without a word."""
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()


def test_places_are_free_again_after_many_comings_and_goings(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(7)
    there: list[socket.socket] = []
    requests = (search(), search(seconds=0.01), search(level=1, play=True), asked("/health"))
    for _ in range(500):
        visitor = socket.create_connection(("127.0.0.1", port), timeout=20)
        request = rng.choice(requests)
        visitor.sendall(request[: rng.choice((len(request), rng.randrange(len(request))))])
        there.append(visitor)
        while len(there) > rng.randrange(40):
            leaver = there.pop(rng.randrange(len(there)))
            (vanish if rng.random() < 0.7 else socket.socket.close)(leaver)
    for visitor in there:
        vanish(visitor)
    until = time.monotonic() + 20
    while b"queued" in said(port, search(), b"\n\n"):  # the last ones are still noticed
        assert time.monotonic() < until
    assert capfd.readouterr().err == ""


def test_a_visitor_who_reads_nothing_gives_the_place_back(port: int) -> None:
    lazy = []
    for _ in range(AT_ONCE):
        lazy.append(socket.socket())
        lazy[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        lazy[-1].connect(("127.0.0.1", port))
        lazy[-1].sendall(search(19, seconds=1))
    heard = said(port, search(evaluations=5), b"event: done")
    assert b"event: queued" in heard
    assert b"event: done" in heard
    for visitor in lazy:
        vanish(visitor)


@pytest.mark.parametrize(
    ("limit", "request_"),
    [
        ((server, "ASKING_SECONDS"), b"GET /hea"),
        ((server, "ASKING_SECONDS"), b""),
        ((app, "BODY_SECONDS"), asked("/api/read", {"text": "a"}, "Connection: close\r\n")[:-1]),
    ],
)
def test_whoever_does_not_go_on_is_sent_away(
    port: int, monkeypatch: pytest.MonkeyPatch, limit: tuple[Any, str], request_: bytes
) -> None:
    monkeypatch.setattr(*limit, 0.1)
    heard = said(port, request_)
    assert heard == b"" or heard.startswith(b"HTTP/1.1 408")


def test_whoever_takes_nothing_of_an_answer_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def never(*_: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(guard, "STALLED_SECONDS", 0.05)
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": [(b"host", b"localhost")]}
    asyncio.run(asyncio.wait_for(guard.Guard(page)(scope, never, never), 20))


@pytest.mark.parametrize(
    "line",
    [
        *("Origin: http://[", "Origin: http://[::1", "Origin: http://localhost/x", "Origin:"),
        "Origin: http://localhost\r\nOrigin: http://evil.example",
        *("Origin: ftp://localhost", "Origin: http://a@localhost", "Cookie: \xff\x80;;=;\x01"),
    ],
)
def test_a_strange_header_is_refused_or_passed_over(
    port: int, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    request = asked("/health", more=f"{line}\r\nConnection: close\r\n").decode().encode("latin-1")
    status = said(port, request).split(b" ", 2)[1]
    assert status == b"403" if line.startswith("Origin") else status in (b"200", b"400")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "host", ["evil@localhost", "localhost/x", "localhost?x", "localhost#x", "localhost:x", "::1"]
)
def test_only_a_plain_name_of_this_machine_is_a_host(port: int, host: str) -> None:
    request = f"GET /health HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
    assert said(port, request).startswith(b"HTTP/1.1 403")


def test_what_a_network_said_amiss_is_not_kept(port: int, network: Failing) -> None:
    network.value = float("nan")
    assert b"event: error" in said(port, search(evaluations=5), b"event: error")
    network.value = 0.0
    assert b"event: done" in said(port, search(evaluations=5), b"event: done")


FAILURES: list[tuple[Exception | None, float]] = [
    (RuntimeError("it\nbroke"), 0.0),
    (KeyError("x"), 0.0),
    (MemoryError(), 0.0),
    (None, float("nan")),
    (None, float("inf")),
]


@pytest.mark.parametrize(("error", "value"), FAILURES)
@pytest.mark.parametrize("body", [{"evaluations": 20}, {"level": 1, "play": True}, {}])
def test_a_network_that_fails_is_told_in_a_line(
    port: int,
    network: Failing,
    capfd: pytest.CaptureFixture[str],
    error: Exception | None,
    value: float,
    body: dict[str, Any],
) -> None:
    network.error, network.value = error, value
    position = {"size": 4, "stones": "R" + 15 * ".", "turn": "red"}
    request = asked("/api/sweep", {"positions": [position]})
    if body:
        request = asked("/api/search", {"position": position} | body)
    heard = said(port, request, b"0\r\n\r\n")
    last = heard.split(b"event: ")[-1].decode()
    assert last.startswith("error\n"), heard
    assert "Traceback" not in last
    complaint = capfd.readouterr().err
    assert complaint.count("\n") <= 1
    network.error, network.value = None, 0.0
    assert b"event: done" in said(port, search(evaluations=5), b"event: done")


def test_a_fault_of_the_server_is_an_answer_and_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("of\nours")

    monkeypatch.setattr(Runs, "listing", broken)
    with Analyst(Uniform(), torch.device("cpu"), "digest") as analyst:
        client = TestClient(build_app(analyst, Runs(tmp_path)), base_url="http://localhost")
        response = client.get("/api/runs")
    assert response.status_code == 500
    assert "ZeroDivisionError" in response.json()["error"]
    assert response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("said_of_it", "settings"),
    [
        ("port", {"port": -1}),
        ("port", {"port": 2**16}),
        ("port", {"port": 10**30}),
        ("cannot listen on xxx", {"host": 300 * "x"}),
        ("cannot listen on a b", {"host": "a b"}),
        ("is not a folder", {"runs": Path(__file__)}),
    ],
)
def test_a_place_that_cannot_be_had_is_refused(said_of_it: str, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=said_of_it):
        server.serve(**({"port": 0} | settings))


def test_a_known_path_asked_in_the_wrong_way_is_said(port: int) -> None:
    for request, allowed in {
        "GET /api/search": b"POST",
        "PUT /health": b"GET",
        "DELETE /api/runs": b"GET",
    }.items():
        heard = said(port, f"{request} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert heard.startswith(b"HTTP/1.1 405")
        assert b"allow: " in heard.lower()
        assert allowed in heard


def test_the_way_of_a_visitor_with_a_token_stays_here() -> None:
    with Analyst(Uniform(), torch.device("cpu"), "digest") as analyst:
        for address, place in {
            "//evil.example/?token=secret": "/evil.example/",
            "/?a=1&token=secret&b=&a=2": "/?a=1&a=2&b=",
            "/a%3Fb?token=secret": "/a%3Fb",
        }.items():
            client = TestClient(build_app(analyst, token="secret"), base_url="http://box")
            response = client.get(f"http://box{address}", follow_redirects=False)
            assert response.headers["location"] == place


def test_a_browser_may_know_two_servers_of_a_host() -> None:
    with Analyst(Uniform(), torch.device("cpu"), "digest") as analyst:
        cookies: dict[str, str] = {}
        for token, address in {"one": "http://box:1", "two": "http://box:2"}.items():
            client = TestClient(build_app(analyst, token=token), base_url=address)
            assert client.get(f"/?token={token}").status_code == 200
            cookies |= dict(client.cookies)
        for token, address in {"one": "http://box:1", "two": "http://box:2"}.items():
            client = TestClient(build_app(analyst, token=token), base_url=address, cookies=cookies)
            assert client.get("/health").status_code == 200
            way_on = client.get(f"/?token={token}", follow_redirects=False)
            assert way_on.headers["location"] == "/"


@pytest.mark.parametrize(
    "query",
    ["size=٥", "size=1_1", "size=%2B5", "upset=nan", "upset=1e39", "upset=-0.5", "count=1.5"],
)
def test_a_number_in_an_address_is_plain(tmp_path: Path, query: str) -> None:
    with Analyst(Uniform(), torch.device("cpu"), "digest") as analyst:
        client = TestClient(build_app(analyst, Runs(tmp_path)), base_url="http://localhost")
        response = client.get(f"/api/runs/games?name=x&{query}")
    assert response.status_code == 400
    assert "is not a" in response.json()["error"]


def test_all_who_watch_a_run_share_one_look_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    class Watched(Runs):
        def fingerprint(self, name: str) -> str:
            looks.append(name)
            return "same"

        def view(self, name: str) -> dict[str, Any]:
            return {"state": "running" if len(looks) < 3 else "complete", "looks": len(looks)}

    async def play() -> None:
        monkeypatch.setattr(run_pages, "LOOK_SECONDS", 0.05)
        monkeypatch.setattr(run_pages, "WORD_SECONDS", 0.05)
        watch = run_pages.Watch(Watched(tmp_path), "a")

        async def watched() -> list[str]:
            return [text async for text in run_pages.views(watch)]

        heard = await asyncio.gather(*(watched() for _ in range(100)))
        assert len(looks) <= 4
        assert heard[0][-1].startswith("event: end")
        assert all(texts[-2:] == heard[0][-2:] for texts in heard)

    asyncio.run(play())


def test_a_server_at_work_ends_at_once(tmp_path: Path) -> None:
    with begun_server("--runs", tmp_path) as (process, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        visitors = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(6)]
        for visitor in visitors[:5]:
            visitor.sendall(search(11))
        visitors[5].sendall(b"GET /api/ru")
        assert b"200 OK" in visitors[4].recv(2**12)
        asked_at = time.monotonic()
        process.terminate()
        _, complaint = process.communicate(timeout=20)
        took = time.monotonic() - asked_at
    assert (process.returncode, complaint) == (128 + signal.SIGTERM, "")
    assert took < 4  # a second at most on a machine with nothing else to do
    for visitor in visitors:
        visitor.close()
