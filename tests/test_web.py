"""The page's server: what it answers, whom it refuses, and how visitors share the engine."""

import asyncio
import json
import re
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

from hex_ai.web import analyst as analyst_module
from hex_ai.web.analyst import AT_ONCE, Analyst
from hex_ai.web.app import STATIC, build_app
from hex_ai.web.asked import MAX_EVALUATIONS, MAX_POSITIONS, Budget, board_of
from hex_ai.web.guard import HEADERS, MAX_BODY
from hex_ai.web.runs import Runs
from hex_ai.web.slots import BusyError, Slots

LOCAL = "http://127.0.0.1:8777"


@pytest.fixture
def analyst() -> Iterator[Analyst]:
    with Analyst(Uniform(), torch.device("cpu"), "digest") as analyst:
        yield analyst


@pytest.fixture
def client(analyst: Analyst, tmp_path: Path) -> TestClient:
    return TestClient(build_app(analyst, Runs(tmp_path)), base_url=LOCAL)


def position(size: int, stones: str = "", turn: str = "red", **more: Any) -> dict[str, Any]:
    return {"size": size, "stones": stones or "." * size**2, "turn": turn} | more


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    return [(name[7:], json.loads(data[6:])) for name, data in blocks]


def ask(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    """The last message of what was asked for."""
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    name, message = events(response.text)[-1]
    assert name == "done"
    return message


def test_an_analysis_says_what_a_search_finds(client: TestClient) -> None:
    found = ask(client, "/api/search", position=position(3, "R..B....."), evaluations=20)
    assert 0 <= found["value"] <= 1
    assert found["network"] == "digest"
    assert found["moves"][0]["cell"] == found["line"][0]
    cells = {move["cell"] for move in found["moves"]}
    assert cells == {"b1", "c1", "b2", "c2", "a3", "b3", "c3"}
    assert sum(move["policy"] for move in found["moves"]) == pytest.approx(1)


def test_cells_of_blue_are_named_as_they_lie(client: TestClient) -> None:
    # Blue, who joins left and right, wins at c2 alone.
    board = position(3, "RRRBB.R..", "blue")
    found = ask(client, "/api/search", position=board, evaluations=20)
    assert (found["proven"], found["line"]) == (1, ["c2"])
    assert ask(client, "/api/search", position=board, level=9, play=True)["move"] == "c2"


def test_the_engine_swaps_what_is_too_good_and_opens_with_what_is_fair(client: TestClient) -> None:
    middle = position(3, "....R....", "blue", swap=True)
    assert ask(client, "/api/search", position=middle, level=8, play=True)["move"] == "swap-pieces"
    no_swap = ask(client, "/api/search", position=middle | {"swap": False}, level=8, play=True)
    assert re.fullmatch("[a-c][1-3]", no_swap["move"])
    opening = ask(client, "/api/search", position=position(3, swap=True), level=1, play=True)
    assert re.fullmatch("[a-c][1-3]", opening["move"])


def test_a_deeper_analysis_is_kept(client: TestClient) -> None:
    deep = ask(client, "/api/search", position=position(9), evaluations=60)
    assert deep["evaluations"] == 60
    assert ask(client, "/api/search", position=position(9), evaluations=10) == deep
    assert ask(client, "/api/search", position=position(9), evaluations=70)["evaluations"] == 70


def test_a_sweep_values_every_position(client: TestClient) -> None:
    positions = [
        position(3),
        position(3, "RRB..B..B", "red"),
        position(3, ".R..R..R.", "blue"),
        position(3, "BB.RR....", "blue"),
    ]
    found = ask(client, "/api/sweep", positions=positions)["results"]
    assert [result["over"] for result in found] == [None, None, "red", None]
    assert found[2] == {"value": 0.0, "over": "red", "moves": []}
    assert found[3]["moves"][0] == pytest.approx(found[3]["moves"][0] | {"cell": "c1", "value": 1})


BAD: list[tuple[str, Any]] = [
    ("the body is not JSON", b"{"),
    ("the body is not JSON", b'{"a": NaN}'),
    ("the body is not JSON", b"[" * 100_000),
    ("the body is not JSON", b"\xff"),
    ("the body is not an object", []),
    ("position is not an object", {}),
    ("position: size", {"position": {"size": 20}}),
    ("position: size", {"position": {"size": True}}),
    ("position: stones", {"position": {"size": 3}}),
    ("position: stones", {"position": position(3, "........")}),
    ("position: stones", {"position": position(3, "........x")}),
    ("position: turn", {"position": position(3, turn="green")}),
    ("position: swap", {"position": position(3, swap=1)}),
    ("the game is over", {"position": position(1, "R", "blue"), "level": 3}),
    ("want one of", {"position": position(3)}),
    ("want one of", {"position": position(3), "level": 1, "seconds": 1}),
    ("level 11", {"position": position(3), "level": 11}),
    ("level 99999999999999999999 is", {"position": position(3), "level": 10**400 - 1}),
    ("level is not", {"position": position(3), "level": "3"}),
    ("evaluations is not", {"position": position(3), "evaluations": 1.5}),
    ("evaluations 0", {"position": position(3), "evaluations": 0}),
    ("evaluations", {"position": position(3), "evaluations": MAX_EVALUATIONS + 1}),
    ("evaluations", {"position": position(3), "evaluations": 10**400}),
    ("seconds", {"position": position(3), "seconds": 1e9}),
    ("seconds", {"position": position(3), "seconds": -1}),
    ("play is not", {"position": position(3), "level": 1, "play": "yes"}),
]


@pytest.mark.parametrize(("said", "body"), BAD)
def test_what_makes_no_sense_is_refused_in_a_line(
    client: TestClient, said: str, body: object
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    response = client.post("/api/search", content=content, headers=headers)
    assert response.status_code == 400
    error = response.json()["error"]
    assert said in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "positions",
    [[], "x", [1], [position(3)] * (MAX_POSITIONS + 1), [position(3), position(4)]],
)
def test_sweeps_that_make_no_sense_are_refused(client: TestClient, positions: object) -> None:
    response = client.post("/api/sweep", json={"positions": positions})
    assert response.status_code == 400
    assert response.json()["error"]


def test_only_this_machine_may_ask_and_no_other_page(client: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost.evil"):
        assert client.get("/health", headers={"host": host}).status_code == 403
    for host in ("localhost:8777", "127.0.0.1", "[::1]:8777", "LOCALHOST"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:8777"):
        assert client.get("/health", headers={"origin": origin}).status_code == 403
    assert client.get("/health", headers={"origin": LOCAL}).status_code == 200


def test_beyond_this_machine_the_address_holds_a_token(analyst: Analyst) -> None:
    client = TestClient(build_app(analyst, token="secret"), base_url="http://box:8777")
    assert client.get("/health").status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    assert client.get("/health", headers={"cookie": "hex-ai=wrong"}).status_code == 403
    first = client.get("/?token=secret", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "SameSite=strict" in first.headers["set-cookie"]
    assert client.get("/health").status_code == 200
    assert client.get("/health", headers={"origin": "http://evil.example"}).status_code == 403


def test_bodies_are_bounded_whatever_they_say(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    large = b" " * (MAX_BODY + 1)
    assert client.post("/api/read", content=large, headers=headers).status_code == 413
    parts = (large[: MAX_BODY // 2] for _ in range(3))  # sent without a length
    assert client.post("/api/read", content=parts, headers=headers).status_code == 413
    assert client.post("/api/read", content=b"a=b").status_code == 415


def test_every_answer_has_the_headers_of_a_closed_page(client: TestClient) -> None:
    answers = [
        client.get("/"),
        client.get("/app.js"),
        client.get("/nothing"),
        client.get("/health", headers={"host": "evil.example"}),
        client.post("/api/search", json={}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 403, 400]
    for answer in answers:
        assert HEADERS.items() <= dict(answer.headers).items() or all(
            answer.headers[name] == value for name, value in HEADERS.items()
        )
        assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd", "/static/../../app.py"]
)
def test_no_file_beside_the_page_is_given_away(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (400, 404)


def test_the_description_names_every_path_and_only_those(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        for method in operations:
            assert client.request(method, path).status_code not in (404, 405), path
    routes = {route.path for route in client.app.routes} - {"", "/openapi.json"}  # type: ignore[attr-defined]
    assert described["paths"].keys() == routes


def test_slots_are_handed_out_in_order_and_come_back() -> None:
    async def play() -> None:
        slots = Slots(2, 2)
        first, second, third, fourth = (slots.enter() for _ in range(4))
        assert [t.turn.done() for t in (first, second, third, fourth)] == [True, True, False, False]
        assert [t.ahead for t in (second, third, fourth)] == [0, 1, 2]
        with pytest.raises(BusyError, match="2 visitors wait"):
            slots.enter()
        third.give_back()  # who waits may leave, too
        assert fourth.ahead == 1
        first.give_back()
        first.give_back()
        assert fourth.turn.done()
        fifth = slots.enter()
        assert not fifth.turn.done()

    asyncio.run(play())


class _Held(Uniform):
    """Answers once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = threading.Event(), threading.Event()

    def batch_infer(self, positions: Any) -> Any:
        self.asked.set()
        assert self.go.wait(20)
        return super().batch_infer(positions)


def test_a_visitor_who_leaves_gives_the_place_to_the_next() -> None:
    async def play() -> None:
        held = _Held()
        board = board_of(position(5))
        with Analyst(held, torch.device("cpu"), "digest") as analyst:
            jobs = [analyst.search(board, Budget(seconds=30), False) for _ in range(AT_ONCE + 1)]
            streams = [job.events() for job in jobs]
            waiting = [asyncio.ensure_future(anext(stream)) for stream in streams[:-1]]
            name, message = await anext(streams[-1])
            assert (name, message) == ("queued", {"ahead": 1})
            held.go.set()
            await asyncio.wait_for(asyncio.gather(*waiting), 20)
            jobs[0].end()
            async for name, _ in streams[-1]:
                if name == "progress":
                    break
            else:
                pytest.fail("the last one never began")
            for job in jobs:
                job.end()

    asyncio.run(play())


def test_visitors_share_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    # As long as it takes on any machine: a visitor who is alone waits for nobody.
    monkeypatch.setattr(analyst_module, "SHARING_MS", 1000.0)

    class Slow(Uniform):
        def batch_infer(self, positions: Any) -> Any:
            time.sleep(0.004)  # long enough for the other to ask meanwhile
            return super().batch_infer(positions)

    boards = [board_of(position(9)), board_of(position(9, "R" + 80 * ".", "blue"))]

    async def calls_for(boards: list[Any]) -> int:
        model = Slow()
        with Analyst(model, torch.device("cpu"), "digest") as analyst:
            jobs = [analyst.search(board, Budget(evaluations=50), False) for board in boards]

            async def last(job: Any) -> dict[str, Any]:
                return [message async for _, message in job.events()][-1]

            found = await asyncio.gather(*map(last, jobs))
        assert [message["evaluations"] for message in found] == [50] * len(boards)
        return model.calls

    apart = sum(asyncio.run(calls_for([board])) for board in boards)
    assert asyncio.run(calls_for(boards)) < 0.8 * apart


def test_the_page_is_small_and_asks_for_nothing_elsewhere() -> None:
    files = [path for path in STATIC.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 150_000
    for path in files:
        addresses = set(re.findall(r"https?://[\w./-]+", path.read_text(encoding="utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path
