"""How many games a second the driver of actors stores, whatever they cost to play.

    python benchmarks/scale/driver.py [--actors 4] [--games 60000] [--board-size 13] [--disk 0]

The actors send recorded games again and again under the ids that they are asked for, and otherwise
sleep; everything else is what `hex-ai selfplay --actors` does. `--disk` adds so many seconds to the
storing of every shard, as a slow disk would. Prints games a second, the processor time that the
driver took for each, and its memory over time. Wants Ray: the extra `[ray]`.
"""

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from hex_ai.scale.cluster import connected
from hex_ai.scale.engine import play_by
from hex_ai.scale.game_actor import as_bytes
from hex_ai.scale.ray_runner import RayRunner
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.store.run_folder import GameStore

RECORDED = 64


class SleepingActor:
    """Answers with recorded games, as fast as it is asked; the ids alone are new."""

    def begin(self, versions: Any, network: bytes, **_: Any) -> dict[str, Any]:
        """Takes the recorded games, which come in the place of a network."""
        self._table = pa.ipc.open_stream(network).read_all()
        self._searches = 0
        return {"node": "here", "device": "none", "probe": b""}

    def exchange(self, ids: Sequence[int], is_last: bool) -> dict[str, Any]:
        """Games of these ids at once."""
        if not ids:
            time.sleep(0.2)
        return {
            "games": self._games(ids) if ids else None,
            "stats": {},
            "searches": self._searches,
            "waited": 0.0,
        }

    def _games(self, ids: Sequence[int]) -> bytes:
        rows = self._table.take(np.arange(len(ids)) % len(self._table))
        rows = rows.set_column(0, self._table.schema.field(0), pa.array(ids, pa.int64()))
        self._searches += sum(map(len, rows["moves"].to_pylist()))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        return sink.getvalue().to_pybytes()


def main() -> None:
    """Measures once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--actors", type=int, default=4)
    parser.add_argument("--games", type=int, default=60_000)
    parser.add_argument("--board-size", type=int, default=13)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--disk", type=float, default=0.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    settings = {"board_size": args.board_size, "search_widths": (3, 2), "seed": 1}
    recorded = list(SelfPlayEngine(**settings).generate_games(RECORDED))
    if args.disk:
        _slow_down(args.disk)
    with TemporaryDirectory() as folder:
        engine = SelfPlayEngine(runtime="eager", output_dir=Path(folder) / "run", **settings)
        with connected(None, args.actors):
            runner = RayRunner(args.actors, 1, SleepingActor)
            play_by(engine, runner, as_bytes(recorded), None, args.in_flight, 0)
            _measure(engine, args.games)
            runner.close()
        stored = sum(path.stat().st_size for path in (Path(folder) / "run").glob("*.parquet"))
    print(f"{stored / args.games:.0f} bytes a game on the disk")


def _measure(engine: SelfPlayEngine, games: int) -> None:
    memory, seen = [], 0
    started = cpu = 0.0
    for count, _ in enumerate(engine.generate_games(games)):
        if not count:  # from the first on: starting Ray and the actors is not what is measured
            started, cpu, told = time.monotonic(), time.process_time(), 0.0
        seen = count
        if time.monotonic() - told > 2:
            told = time.monotonic()
            memory.append(_megabytes())
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    lengths = engine.summary.to_json()["mean_length"]
    print(f"{seen / seconds:.0f} games/s of {lengths:.0f} plies stored, over {seconds:.0f} s")
    print(
        f"{1e6 * cpu / seen:.0f} us of the driver's processor time a game: {seen / cpu:.0f} games/s"
    )
    print("the driver's memory in MB", *memory)


def _slow_down(seconds: float) -> None:
    write = GameStore.write

    def slow(store: GameStore, games: Any) -> None:
        time.sleep(seconds)
        write(store, games)

    GameStore.write = slow  # type: ignore[method-assign]


def _megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) // 1024 if found else 0


if __name__ == "__main__":
    main()
