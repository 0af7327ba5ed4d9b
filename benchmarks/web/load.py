"""Many visitors at once on the page of `hex-ai serve`, half of whom ask for analyses.

    python benchmarks/web/load.py [--visitors 200] [--seconds 60]

Prints the answers by status, how long anybody waited without a word, how soon `/health` answered
all the while, how soon a search ends whose visitor leaves, and the server's memory over time. Wants
httpx, which the extra `[dev]` brings.
"""

import argparse
import asyncio
import random
import re
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx

SIZE = 11
TRUST = ssl.create_default_context()  # of no use here, and slow to make for each visitor
START = [sys.executable, "-c", "from hex_ai.cli.main import main; main()", "serve", "--port", "0"]


class Seen:
    """What the visitors saw."""

    def __init__(self) -> None:
        self.statuses = Counter[int]()
        self.errors = Counter[str]()
        self.silence = 0.0
        self.analyses = 0


def position(rng: random.Random) -> dict[str, object]:
    """A position of some random stones."""
    stones = ["."] * SIZE**2
    count = rng.randrange(2, 40)
    for k, cell in enumerate(rng.sample(range(SIZE**2), count)):
        stones[cell] = "BR"[k % 2]
    return {"size": SIZE, "stones": "".join(stones), "turn": "red"}


async def analyse(client: httpx.AsyncClient, rng: random.Random, seen: Seen) -> None:
    """Asks for an analysis, and notes the longest time between two words."""
    asked = {"position": position(rng), "evaluations": rng.choice((50, 200))}
    heard = time.monotonic()
    async with client.stream("POST", "/api/search", json=asked) as response:
        seen.statuses[response.status_code] += 1
        async for _ in response.aiter_bytes():
            now = time.monotonic()
            seen.silence = max(seen.silence, now - heard)
            heard = now
        if response.status_code == 200:
            seen.analyses += 1
        elif response.status_code == 503:
            await asyncio.sleep(float(response.headers["Retry-After"]))


async def look(client: httpx.AsyncClient, rng: random.Random, seen: Seen) -> None:
    """Loads a part of the page, or has a game read."""
    path = rng.choice(("/", "/app.js", "/style.css", "/api/engine", "/api/read"))
    if path == "/api/read":
        response = await client.post(path, json={"text": "#11,a1b2c3d4e5f6g7"})
    else:
        response = await client.get(path)
    seen.statuses[response.status_code] += 1
    await asyncio.sleep(rng.uniform(0.5, 2.0))


async def visit(address: str, number: int, until: float, seen: Seen) -> None:
    """One visitor."""
    rng = random.Random(number)
    async with httpx.AsyncClient(base_url=address, timeout=60, verify=TRUST) as client:
        while time.monotonic() < until:
            try:
                await (analyse if number % 2 else look)(client, rng, seen)
            except httpx.HTTPError as error:
                seen.errors[type(error).__name__] += 1


def watch(address: str, server: int, seconds: float) -> tuple[list[float], list[float]]:
    """Asks for `/health` ten times a second, and for the server's memory every few seconds.

    Runs in a process of its own, which the visitors do not keep waiting.
    """
    health, memory, until = [], [], time.monotonic() + seconds
    connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
    while time.monotonic() < until:
        asked = time.monotonic()
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        health.append(time.monotonic() - asked)
        if len(health) % 50 == 1:
            text = Path(f"/proc/{server}/status").read_text(encoding="utf-8")
            memory.append(int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024)
        time.sleep(0.1)
    return health, memory


async def leave(address: str) -> float:
    """Seconds until a visitor who waits has the place of one who leaves, and has heard from it."""
    rng = random.Random(1)
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:

        async def begin() -> tuple[httpx.Response, AsyncIterator[str]]:
            asked = {"position": position(rng), "seconds": 30}
            request = client.build_request("POST", "/api/search", json=asked)
            response = await client.send(request, stream=True)
            return response, response.aiter_text()

        begun = []
        while True:  # until one of them has to wait
            begun.append(await begin())
            words = begun[-1][1]
            if "queued" in await anext(words):
                break
        left = time.monotonic()
        await begun[0][0].aclose()
        async for text in words:
            if "progress" in text:
                break
        found = time.monotonic() - left
        for response, _ in begun[1:]:
            await response.aclose()
        await asyncio.sleep(0.5)
        return found


async def measure(address: str, server: int, visitors: int, seconds: float) -> None:
    """Runs all of it and prints what was seen."""
    gone = [await leave(address) for _ in range(5)]
    print(f"a search whose visitor leaves gives its place to the next within {max(gone):.2f} s")
    seen, until = Seen(), time.monotonic() + seconds
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        watched = asyncio.get_running_loop().run_in_executor(
            process, watch, address, server, seconds
        )
        await asyncio.gather(*(visit(address, number, until, seen) for number in range(visitors)))
        health, memory = await watched
    health.sort()
    print(f"{visitors} visitors, {seconds:.0f} s, {seen.analyses} analyses")
    print(f"statuses {dict(seen.statuses)}, errors of transport {dict(seen.errors)}")
    print(f"longest time without a word {seen.silence:.1f} s")
    print(
        f"/health median {1000 * health[len(health) // 2]:.0f} ms, 99 % within "
        f"{1000 * health[len(health) * 99 // 100]:.0f} ms, longest {1000 * health[-1]:.0f} ms"
    )
    print("memory in MB", *(f"{size:.0f}" for size in memory))


def main() -> None:
    """Starts a server and measures it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with subprocess.Popen(START, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = re.findall(r"http://\S+", server.stdout.readline())[0]
            asyncio.run(measure(address, server.pid, given.visitors, given.seconds))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
