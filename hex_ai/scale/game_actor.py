"""What an actor does: it plays the games of its leases, in a process of its own.

Knows nothing of Ray, so that it can be tested, and read, without.
"""

import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pyarrow as pa
import torch

from hex_ai import __version__
from hex_ai.errors import SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import InferencePlan, device_name
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.probe import probe_positions
from hex_ai.network.architecture import load_architecture_module
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.schema import ROW_FIELDS, records_of, to_table

# Finished games that wait to be fetched, in lists of one step each; play waits beyond that.
WAITING_STEPS = 64

# Seconds that a call waits for a first finished game, and after it for more.
PATIENCE, GATHERING = 0.5, 0.2

# Games after which a call waits for no more; fewer where fewer are in flight.
MANY = 256

PROBE_ROWS = 8

Versions = dict[str, str]
_Finished: TypeAlias = "queue.Queue[list[GameRecord] | BaseException]"


def versions() -> Versions:
    """What must be the same for a driver and its actors."""
    return {
        "hex_ai": __version__,
        "torch": str(torch.__version__),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


# Among the ids of games: no more follow for now; and: none ever.
LAST, END = None, -1


class GameActor:
    """Plays games by a network that it is sent: first `begin`, which may be called again, for
    another network, once all games are fetched."""

    def __init__(self) -> None:
        self._ids: queue.Queue[int | None] = queue.Queue()

    def begin(
        self,
        driver: Versions,
        network: bytes,
        architectures: str,
        plan: dict[str, Any],
        settings: dict[str, Any],
        options: dict[str, int],
    ) -> dict[str, Any]:
        """Makes everything ready.

        Args:
          driver: `versions` of the process that asks.
          network: the bytes of a checkpoint.
          architectures: a file that registers the network's architecture, or empty.
          plan: see `InferencePlan.to_json`.
          settings: fields of `SelfPlaySettings`.
          options: `games_in_flight`, `cache_size`, and in `mixed_hardware` whether this machine
            may go on under a plan of its own where it cannot keep that of the run.

        Returns:
          where this is, as `probe` what the network answers to a fixed set of positions, and the
          `plan` that it does so under.

        Raises:
          SettingError: other versions than the driver's, or a plan that cannot be kept here.
        """
        _require_same_versions(driver)
        self._ids.put(END)  # for the thread that played before
        if architectures:
            load_architecture_module(Path(architectures))
        self._settings = SelfPlaySettings(**settings)
        self._model, digest = self._prepared(network, plan, options)
        self._runner = Runner(
            self._model,
            self._settings,
            games_in_flight=options["games_in_flight"],
            device=self._model.device,
            network=digest,
        )
        self._ids = queue.Queue()
        self._finished: _Finished = queue.Queue(WAITING_STEPS)
        self._thread: threading.Thread | None = None
        self._searched = self._given = self._fetched = 0
        self._waited, self._many = 0.0, min(MANY, options["games_in_flight"])
        return {
            "node": platform.node(),
            "device": device_name(self._model.device),
            "probe": self._probe(),
            "plan": self._model.plan.to_json(),
        }

    def _prepared(
        self, network: bytes, plan: dict[str, Any], options: dict[str, int]
    ) -> tuple[ModelInference, str]:
        """The model under its plan, and the network's digest."""
        wanted = InferencePlan.from_json(plan)
        torch.set_num_threads(wanted.torch_threads)
        loaded, digest = _load(network)
        model = ModelInference(loaded, wanted, cache_size=options["cache_size"])
        kept = model.prepare(self._settings.board_size)
        if kept != wanted and not options["mixed_hardware"]:
            raise SettingError(f"{platform.node()}: the inference plan of the run cannot be kept")
        return model, digest

    def _probe(self) -> bytes:
        positions = probe_positions(PROBE_ROWS, self._settings.board_size, self._model.device)
        logits, values = self._model.batch_infer(positions)
        self._model.check()
        self._model.reset_stats()
        answers = torch.cat((logits, values[:, None]), 1).cpu().contiguous()
        found: bytes = answers.numpy().tobytes()
        return found

    def exchange(self, ids: list[int], is_last: bool) -> dict[str, Any]:
        """Takes more games to play, and gives those that have been finished.

        Args:
          ids: of games to play after those that it has.
          is_last: no more follow for now: the games in flight need not wait for others.

        Returns:
          `games`, Arrow's stream of the record batches that `hex_ai.store.schema` describes, or
          None; `stats` of the model; `searches`; `waited`, the seconds that play has waited for
          ids or until games were fetched.

        Raises:
          HexAIError: what stopped the play.
        """
        self._given += len(ids)
        for game_id in ids:
            self._ids.put(game_id)
        if is_last:
            self._ids.put(LAST)
        if self._thread is None:
            given = (self._runner, self._ids, self._finished)
            self._thread = threading.Thread(target=self._play, args=given, daemon=True)
            self._thread.start()
        games = self._fetch()
        return {
            "games": as_bytes(games) if games else None,
            "stats": self._model.get_performance_stats(),
            "searches": self._searched + self._runner.searches,
            "waited": self._waited,
        }

    def _play(self, runner: Runner, ids: "queue.Queue[int | None]", finished: _Finished) -> None:
        """The thread that plays, with one network, until the end."""
        torch.set_num_threads(self._model.plan.torch_threads)
        take, put = self._timed(ids.get), self._timed(finished.put)
        try:
            while (first := ids.get()) != END:
                if first is LAST:
                    continue
                self._searched += runner.searches  # which counts from 0 in every play
                for games in runner.play(chain((first,), iter(take, LAST))):
                    if games:
                        put(games)
        except BaseException as error:  # noqa: BLE001 - raised again in the next call
            finished.put(error)

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, whose seconds count as waited."""

        def timed(*given: Any) -> Any:
            started = time.monotonic()
            result = call(*given)
            self._waited += time.monotonic() - started
            return result

        return timed

    def _fetch(self) -> list[GameRecord]:
        """All games that are there; waits a little for the first, and for company to it."""
        found: list[GameRecord] = []
        until = time.monotonic() + PATIENCE
        while len(found) < self._many and (not found or self._fetched + len(found) < self._given):
            try:
                some = self._finished.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(some, BaseException):
                raise some
            if not found:
                until = time.monotonic() + GATHERING
            found += some
        self._fetched += len(found)
        return found


def as_bytes(games: list[GameRecord]) -> bytes:
    """Records of one run as a stream of Arrow, which says how wide their rows of cells are."""
    table = to_table(games)
    widths = {name: str(getattr(games[0], name).shape[1]) for name in ROW_FIELDS}
    table = table.replace_schema_metadata(table.schema.metadata | widths)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_bytes(data: bytes) -> Iterator[GameRecord]:
    """The records of a stream that `as_bytes` has made, as they were."""
    table = pa.ipc.open_stream(data).read_all()
    widths = {name: int(table.schema.metadata[name.encode()]) for name in ROW_FIELDS}
    return records_of(table, widths)


def _load(network: bytes) -> tuple[torch.nn.Module, str]:
    with TemporaryDirectory(prefix="hex_ai-") as folder:
        path = Path(folder) / "network.safetensors"
        path.write_bytes(network)
        loaded = load_checkpoint(path)
    return loaded.network, loaded.digest


def _require_same_versions(driver: Versions) -> None:
    here = versions()
    for name, version in driver.items():
        if here.get(name) != version:
            raise SettingError(
                f"{platform.node()} has {name} {here.get(name)}, and the run {name} {version}"
            )
