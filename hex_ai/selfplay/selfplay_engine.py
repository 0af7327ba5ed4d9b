"""`SelfPlayEngine`: games by the hundred thousand, from one network, in one loop.

    positions of all games ─► search ─► chosen moves ─► play ─► finished games ─► store

The four ways to evaluate differ only in the collector and in how many games are in flight:
individual (one position at a time), batched (one game, one batch a level), cross-game (all games in
flight, one batch a level), pipelined (several batches of games, each in a thread of its own).
"""

import copy
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hex_ai import __version__
from hex_ai.errors import SettingError, StoreError
from hex_ai.game.records import RESIGN, SCHEMA_VERSION, GameRecord
from hex_ai.inference.evaluation_cache import entry_bytes
from hex_ai.inference.inference_plan import (
    InferencePlan,
    current_versions,
    resolve_device,
)
from hex_ai.inference.inference_stats import ratio, speeds
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE, ModelInference
from hex_ai.inference.tuning import plan_for_games, remembered_plan
from hex_ai.network.architecture import architecture_of, config_of, unwrapped
from hex_ai.network.checkpoint import default_model_path, load_checkpoint, network_digest
from hex_ai.network.torch_state import undisturbed
from hex_ai.numbers import whole
from hex_ai.selfplay.memory_use import most_requests
from hex_ai.selfplay.progress_file import ProgressFile, remove_progress
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.selfplay.shard_writer import ShardWriter
from hex_ai.store.output_files import write_json
from hex_ai.store.run_folder import (
    RUN_FORMAT,
    RUN_VERSION,
    GameStore,
    read_games,
    read_run,
    read_summary,
    require_no_run,
    shard_paths,
    stored_ids,
)
from hex_ai.store.summary import RunSummary

# Games in flight where nobody says otherwise: enough rows a level to fill the largest batch shape
# several times over, few enough that the first games end soon.
DEFAULT_GAMES_IN_FLIGHT = {"cpu": 128, "cuda": 8192}


# A run that can make no more requests than this plays before a network would be compiled, or
# calibrated for int8, which takes 5 to 15 s: docs/performance.md.
SMALL_RUN = 10_000

log = logging.getLogger(__name__)


class SelfPlayEngine:
    """Plays games of one network against itself.

    Args:
      model_path: checkpoint to play with; by default the one that comes with the package.
      model: a network to play with instead, compiled or not; it is copied.
      use_batched_inference: false asks the network about one position at a time, in batches of 1
        and without a cache: the baseline to compare with.
      games_in_flight: games that share batches; by default `DEFAULT_GAMES_IN_FLIGHT`.
      num_workers: threads that play; with two or more, collection and inference overlap.
      batch_size, max_batch_delay_ms: when the shared collector of several workers starts a batch.
      cache_size: evaluations remembered, 0 for none.
      deduplicate: answer equal positions of a batch once.
      device: `auto` (cuda, else cpu), `cpu`, `cuda`, or `cuda:1` for the second GPU.
      precision: `auto`, `float32`, `bfloat16`, or with OpenVINO `int8`.
      runtime: `auto`, `eager`, `graph` (CUDA only), `compiled` or `openvino` (CPU only). Where
        neither is chosen, nor remembered for this machine, a run too small to be worth compiling or
        calibrating for does without: `SMALL_RUN`.
      plan: an inference plan to use instead of what device, precision and runtime ask for.
      output_dir: folder to store games in; without it they are only yielded. Once it has all that
        were asked for, `summary.json` there says what they came to.
      resume: go on with the run in `output_dir`, under the inference plan recorded there.
      settings: fields of `SelfPlaySettings`, which decide the games: `board_size=11`, `seed=7`, …

    Attributes:
      settings: what decides the games.
      network: digest, architecture and settings of the network.
      inference: evaluates positions.
      runner: plays the games.
      summary: figures over the games of the run, those of earlier sittings included.
      notes: what else `run.json` is to say, plain JSON.
      is_preparing: whether `prepare` has begun: the run was not refused before.

    Raises:
      CheckpointError: the checkpoint cannot be used.
      SettingError: invalid settings.
      StoreError: the run in `output_dir` cannot be resumed.
    """

    @undisturbed()
    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        model: nn.Module | None = None,
        use_batched_inference: bool = True,
        games_in_flight: int | None = None,
        num_workers: int = 1,
        batch_size: int = 1024,
        max_batch_delay_ms: float = 0.0,
        cache_size: int = DEFAULT_CACHE_SIZE,
        deduplicate: bool = True,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        plan: InferencePlan | None = None,
        output_dir: str | Path | None = None,
        resume: bool = False,
        **settings: Any,
    ) -> None:
        self.settings = _settings(settings)
        network = copy.deepcopy(unwrapped(model)) if model is not None else _load(model_path)
        self.network = _description(network)
        self.output_dir = Path(output_dir) if output_dir is not None else None
        self._resume, self.is_preparing, self.notes = resume, False, dict[str, Any]()
        recorded = self._recorded_plan(device=device, precision=precision, runtime=runtime)
        self._resumes_run = recorded is not None
        chosen = device, runtime, precision
        self._may_be_simpler = not (recorded or plan) and _by_default(network, *chosen)
        plan = recorded or plan or plan_for_games(network, *chosen)
        if not use_batched_inference:
            plan, cache_size = plan.with_shapes((1,)), 0
        if games_in_flight is None:
            games_in_flight = DEFAULT_GAMES_IN_FLIGHT[plan.kind]
        self.inference = ModelInference(
            network, plan, cache_size=cache_size, deduplicate=deduplicate
        )
        self.runner = Runner(
            self.inference,
            self.settings,
            games_in_flight=games_in_flight,
            workers=num_workers,
            batched=use_batched_inference,
            batch_size=batch_size,
            max_batch_delay_ms=max_batch_delay_ms,
            device=plan.device,
            network=self.network["digest"],
        )
        self._cache_size, self._to_play, self._prepared = cache_size, 0, False
        self._start_counting()

    def generate_games(self, num_games: int, first_game: int = 0) -> Iterator[GameRecord]:
        """Yields the games `first_game` to `first_game + num_games - 1`, in the order they end.

        With an output folder a game is yielded once it is stored for good, and on resume those
        stored before are not played again. Closing the iterator, or an exception in the caller,
        stores what is finished.

        Raises:
          SettingError: a number of games or a first id below 0, or games in flight, or a cache,
            that want more memory than there is.
          StoreError: the output folder cannot be used; RecordError: it holds a game twice.
          NetworkError: the network gave an invalid evaluation.
        """
        num_games, first_game = whole("games", num_games), whole("first game", first_game)
        if num_games < 0 or first_game < 0 or first_game + num_games > 2**63:
            raise SettingError(f"{num_games} games from number {first_game} on: not in 0 to 2^63")
        left = num_games - self._stored()
        self._require_memory(left)
        self._to_play = max(left, 0)
        if first_game == 0:  # others are part of a run that is shared, under one plan
            self._prepare_only_what_is_worth_it(num_games)
        self.prepare()
        asked = range(first_game, first_game + num_games)
        missing: Iterable[int] = asked
        self._start_counting()
        writer = None
        with ExitStack() as stack:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(self.inference.plan.torch_threads)
            if self.output_dir is not None:
                description = self.run_description()
                store = GameStore(self.output_dir, description, resume=self._resume)
                stack.enter_context(store)
                missing = store.missing(asked)
                if not store.is_complete(asked) or read_summary(self.output_dir) is None:
                    stack.callback(self._write_summary, store, asked)
                self._take_in_stored_games()
                writer = stack.enter_context(ShardWriter(store))
                stack.enter_context(self._progress_told(self.output_dir, asked))
            stack.callback(self._stop_clock)
            batches = stack.enter_context(closing(self.runner.play(missing, left)))
            for games in batches:
                self._take_in(games)
                yield from self._counted(writer.add(games) if writer else games)
            if writer:
                yield from self._counted(writer.finish())

    @contextmanager
    def _progress_told(self, folder: Path, asked: range) -> Iterator[None]:
        """Has the folder tell how the run is going, beside whoever watches already."""
        other = self.runner.watcher
        self.runner.watcher = ProgressFile(
            folder, lambda: _range(asked) | {"stats": self.get_performance_stats()}, other
        )
        try:
            yield
        finally:
            self.runner.watcher = other

    def _take_in_stored_games(self) -> None:
        """Counts the games of earlier sittings into the summary; the clock of this one starts."""
        for game in self.stored_games():
            self.summary.add(game)
        self._started = time.monotonic()

    def _take_in(self, games: Iterable[GameRecord]) -> None:
        for game in games:
            self._finished += 1
            self.summary.add(game)

    def _write_summary(self, store: GameStore, asked: range) -> None:
        """Says in the folder what its games came to, once they are all there."""
        if store.is_complete(asked):
            remove_progress(store.folder)
            figures = {"games": self.summary.to_json(), "performance": self.get_performance_stats()}
            write_json(store.folder / "summary.json", _range(asked) | figures)

    def _require_memory(self, games: int) -> None:
        """Raises `SettingError` where so many games want more memory than there is."""
        entries = self._cache_size
        if self.runner.device.type == "cpu":  # where what is never written takes no memory
            entries = min(entries, games * most_requests(self.settings))
        cache = entries * entry_bytes(self.settings.board_size**2)
        self.runner.require_memory(games, cache, f" and {entries} evaluations remembered")

    def _prepare_only_what_is_worth_it(self, games: int) -> None:
        """Decides by the size of a new run, before it starts, whether its plan is a simpler one."""
        plan = self.inference.plan
        slow_to_start = plan.runtime == "compiled" or plan.precision == "int8"
        if self._prepared or not (self._may_be_simpler and slow_to_start):
            return
        if games * most_requests(self.settings) <= SMALL_RUN:
            self.inference.run_simpler()
            kept = self.inference.plan
            log.warning("a small run: the network runs %s in %s", kept.runtime, kept.precision)

    def _stored(self) -> int:
        """Games of earlier sittings."""
        return len(stored_ids(self.output_dir)) if self._resume and self.output_dir else 0

    def _counted(self, games: Iterable[GameRecord]) -> Iterator[GameRecord]:
        for game in games:
            self._games += 1
            self._moves += len(game.moves)
            yield game

    def _start_counting(self) -> None:
        self._games = self._moves = self._finished = 0
        threshold = self.settings.resign_threshold if RESIGN in self.settings.stop else None
        self.summary = RunSummary(resign_threshold=threshold)
        self._started = time.monotonic()
        self._ended: float | None = None
        self.inference.reset_stats()

    def _stop_clock(self) -> None:
        self._ended = time.monotonic()

    def prepare(self) -> InferencePlan:
        """Loads, compiles and compares what the plan names, so that play can start at once."""
        if not self._prepared:
            self.is_preparing = True
            wanted = self.inference.plan
            kept = self.inference.prepare(self.settings.board_size)
            if self._resumes_run and kept != wanted:
                raise StoreError(f"{self.output_dir}: its inference plan cannot be kept here")
            self._prepared = True
        return self.inference.plan

    def get_performance_stats(self) -> dict[str, Any]:
        """Counts and rates since games were last asked for; see docs/bench.md for each."""
        stats = self.inference.get_performance_stats()
        seconds = (self._ended or time.monotonic()) - self._started
        stats |= speeds(stats, self.runner.searches, seconds)
        return stats | {
            "games": self._games,
            "finished_games": self._finished,
            "games_to_play": self._to_play,
            "moves": self._moves,
            "mean_game_length": ratio(self._moves, self._games),
            "games_per_s": ratio(self._games, seconds),
            "device_utilization": device_utilization(self.runner.device),
        }

    def stored_games(self) -> Iterator[GameRecord]:
        """The games that the run to be resumed holds already, in game-id order."""
        if self._resume and self.output_dir and shard_paths(self.output_dir):
            yield from read_games(self.output_dir)

    def run_description(self) -> dict[str, Any]:
        """What `run.json` says: everything that decides the games, and where it comes from."""
        return {
            "format": RUN_FORMAT,
            "version": RUN_VERSION,
            "schema_version": SCHEMA_VERSION,
            "package_version": __version__,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "network": self.network,
            "settings": self.settings.to_json(),
            "plan": self.inference.plan.to_json(),
            **self.notes,
        }

    def _recorded_plan(self, **asked: str) -> InferencePlan | None:
        """The plan of the run to be resumed, if there is one; it goes on under no other.

        Args:
          asked: `device`, `precision` and `runtime`; `auto` for that of the run.

        Raises:
          SettingError, StoreError: the run cannot be resumed, or one is there that is not to be.
        """
        folder = self.output_dir
        if folder is None and self._resume:
            raise SettingError("resume wants the folder of the run: give it as --out or output_dir")
        if folder is not None and not self._resume:
            require_no_run(folder, "resume=True")
        run = read_run(folder) if folder is not None and self._resume else None
        if run is None:
            return None
        try:
            plan = InferencePlan.from_json(run["plan"])
            resolve_device(plan.device)
        except SettingError as error:
            raise StoreError(f"{folder}/run.json: {error}") from error
        recorded = plan.to_json()
        wanted = asked | current_versions(plan.runtime)
        device = str(wanted.pop("device"))
        for name, value in (wanted | {"device": device.partition(":")[0]}).items():
            if value not in ("auto", recorded[name]):
                raise StoreError(
                    f"{folder}: {name} is {recorded[name]!r} in this run, not {value!r}"
                )
        return plan if device == "auto" else plan.on(resolve_device(device))


def device_utilization(device: torch.device) -> float | None:
    """Share of the last moments that the device was busy, by its driver; None if unknown."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        return torch.cuda.utilization(device) / 100
    except (pynvml.NVMLError, RuntimeError):
        return None


def _range(ids: range) -> dict[str, int]:
    return {"first_game": ids.start, "num_games": ids.stop - ids.start}


def _settings(fields: dict[str, Any]) -> SelfPlaySettings:
    unknown = sorted(set(fields) - set(SelfPlaySettings.__dataclass_fields__))
    if unknown:
        raise SettingError(f"self-play has no setting {unknown[0]!r}")
    return SelfPlaySettings(**fields)


def _by_default(network: nn.Module, device: str, runtime: str, precision: str) -> bool:
    """Whether nobody has chosen runtime or precision, by a flag or by tuning."""
    if (runtime, precision) != ("auto", "auto"):
        return False
    return remembered_plan(network, resolve_device(device)) is None


def _description(network: nn.Module) -> dict[str, Any]:
    """What identifies a network: taken before inference folds its norms."""
    return {
        "digest": network_digest(network),
        "architecture": architecture_of(network).name,
        "config": config_of(network),
    }


def _load(path: str | Path | None) -> nn.Module:
    return load_checkpoint(path if path is not None else default_model_path()).network
