"""Games played by actors of Ray, with the face of a `Runner`.

An actor that is lost costs its games in flight, which others play again: the same games, for a
game depends on the run's settings and its id alone.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import ray
import torch

from hex_ai.errors import EngineError, HexAIError, MemoryShortError, SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.scale.cluster import resources
from hex_ai.scale.game_actor import GameActor, from_bytes, versions
from hex_ai.scale.head_count import HeadCount
from hex_ai.scale.leases import Leases
from hex_ai.scale.metrics import Metrics
from hex_ai.scale.seats import Seat, Seats
from hex_ai.selfplay.game_batch import GameBatch, StepWatcher
from hex_ai.selfplay.settings import SelfPlaySettings

log = logging.getLogger(__name__)

# Seconds without an answer after which an actor counts as hanging.
HANGING_SECONDS = 120.0

# Losses in a row, without a game finished in between, after which a run gives up.
MOST_LOSSES = 20

# Games that an actor holds, as a multiple of those that it has in flight.
RESERVE = 2

# After so many in a row it may be that memory is short, though the system does not say so.
HALVING_LOSSES = 3

LOSSES = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError)


@dataclass(frozen=True)
class Job:
    """What actors are to play.

    Attributes:
      network: the bytes of a checkpoint.
      architectures: a file that registers its architecture, or None; there on every node.
      plan: the network runs under.
      settings: that decide the games.
      options: `games_in_flight` of each actor, and its `cache_size`.
    """

    network: bytes
    architectures: Path | None
    plan: InferencePlan
    settings: SelfPlaySettings
    options: dict[str, int]

    def arguments(self) -> dict[str, Any]:
        """What `GameActor.begin` is told beside the versions."""
        return {
            "network": self.network,
            "architectures": str(self.architectures.resolve()) if self.architectures else "",
            "plan": self.plan.to_json(),
            "settings": asdict(self.settings),
            "options": self.options,
        }


class RayRunner:
    """Plays games by actors.

    Args:
      actors: how many; None: as many as play fastest, found in the first minute of play.
      threads: processors that each takes.
      kind: their class, with the face of `GameActor`.
      mixed: whether machines may play that evaluate positions to other bits than others; records
        then say under which plan, and where, each game was played.

    Attributes:
      settings: of the job.
      watcher: is called whenever actors have answered.
      seats: the actors.
    """

    def __init__(
        self, actors: int | None, threads: int, kind: type = GameActor, *, mixed: bool = False
    ) -> None:
        if actors is not None and actors < 1:
            raise SettingError(f"{actors} actors are not positive")
        self.device, self.workers = torch.device("cpu"), actors or 1
        self.watcher, self.seats = StepWatcher(), Seats()
        self._threads, self._kind, self._needs = threads, kind, {"CPU": float(threads)}
        self._mixed = mixed
        self._head_count = HeadCount(self._room()) if actors is None else None
        self._job: Callable[[], Job] | None = None
        self._in_flight, self._sent = 0, dict[str, Any]()
        self._calls: dict[Any, Seat] = {}
        self._made = self._losses = 0
        self._probe: bytes | None = None
        self._leases = Leases(())
        self._told, self._metrics = set[str](), Metrics(self.report)

    def set_job(self, job: Callable[[], Job]) -> None:
        """What is to be played from the next `play` on, which asks for it."""
        self._job = job

    @property
    def most(self) -> int:
        """Actors that there may be at once."""
        return self.workers if self._head_count is None else max(1, self._head_count.room)

    @property
    def searches(self) -> int:
        """Positions searched since `play` was called last."""
        return self.seats.searches

    def report(self) -> dict[str, Any]:
        """Plain JSON about the actors and their games since `play` was called last."""
        return self.seats.report() | {"games_given_back": self._leases.given_back}

    def under_way(self, most: int) -> list[tuple[int, list[int]]]:
        """Games in flight are not known here; see `GameBatch.under_way`."""
        return []

    def require_memory(self, games: int | None, more: int = 0, named: str = "") -> None:
        """Each actor looks at the memory where it is."""

    def play(
        self, ids: Iterable[int], games: int | None = None
    ) -> Generator[list[GameRecord], None, None]:
        """Plays games; yields them as they come. Closing the iterator early ends the actors.

        Raises:
          HexAIError: what stopped an actor's play, or actors that are lost again and again.
        """
        if self._job is None:
            raise SettingError("actors want a job")
        job, is_done = self._job(), False
        self._leases = Leases(ids, games)
        self.settings, self._in_flight = job.settings, job.options["games_in_flight"]
        self._needs["GPU"] = float(job.plan.kind == "cuda")
        given = job.arguments()
        given["options"] = given["options"] | {"mixed_hardware": self._mixed}
        self._sent = {name: ray.put(value) for name, value in given.items()}
        self._probe = None
        self.seats.start()
        try:
            self._calls = {self._begin(seat): seat for seat in self.seats.taken}
            while self._calls or self._leases.available:
                self._hire_and_dismiss()
                yield self._next_games()
                self.watcher.stepped(cast("GameBatch", self))
                self._metrics.tell()
            is_done = True
        finally:
            if not is_done:
                self.close()

    def close(self) -> None:
        """Ends the actors."""
        for seat in list(self.seats.taken):
            self._dismiss(seat)

    def _hire_and_dismiss(self) -> None:
        """Sees to it that as many actors play as are wanted, while there are games for them."""
        wanted = self.workers
        if self._head_count is not None:
            self._head_count.room = self._room()
            self._head_count.seen(self.seats.playing, self.searches)
            wanted = self._head_count.wanted
        if self._leases.available:
            for _ in range(wanted - len(self.seats.taken)):
                self._hire()
        # Those first that have not begun.
        for seat in sorted(self.seats.taken, key=lambda seat: not seat.node)[wanted:]:
            self._dismiss(seat)

    def _hire(self) -> None:
        self._made += 1
        remote: Any = ray.remote(
            num_cpus=self._threads, num_gpus=self._needs["GPU"], max_restarts=0
        )(self._kind)
        seat = Seat(self._made, remote.remote())
        self.seats.taken.append(seat)
        self._calls[self._begin(seat)] = seat

    def _dismiss(self, seat: Seat) -> int:
        """Ends an actor; how many games others have to play for it."""
        ray.kill(seat.actor)
        self._calls = {call: other for call, other in self._calls.items() if other is not seat}
        self.seats.leave(seat)
        return self._leases.give_back(seat.number)

    def _next_games(self) -> list[GameRecord]:
        """What those actors that have answered have finished; they are asked again."""
        ready, _ = ray.wait(list(self._calls), timeout=1.0)
        found: list[GameRecord] = []
        for call in ready:
            seat = self._calls.pop(call)
            try:
                answer = ray.get(call)
            except ray.exceptions.RayError as error:
                self._lose(seat, error)
                continue
            found += self._taken_in(seat, answer)
            if not self._leases.done:
                self._calls[self._ask(seat)] = seat
        self._lose_hanging()
        return found

    def _taken_in(self, seat: Seat, answer: dict[str, Any]) -> list[GameRecord]:
        if "probe" in answer:
            if self._mixed:
                seat.plan = _mark(answer)
            else:
                self._require_same_answers(answer)
            seat.node, seat.device = answer["node"], answer["device"]
            return []
        seat.counts, seat.searches = answer["stats"], answer["searches"]
        seat.waited = answer["waited"]
        if answer["games"] is None:
            return []
        self._losses = 0
        games = [_marked(game, seat.plan) for game in from_bytes(answer["games"])]
        seat.games += len(games)
        return [game for game in games if self._leases.finish(seat.number, game)]

    def _ask(self, seat: Seat) -> Any:
        """Asks an actor for what it has finished, and sees to it that it has enough to play."""
        leases = self._leases
        # Play waits for an id at each slot that is free: it must have enough until it is told that
        # no more will come.
        enough = RESERVE * seat.in_flight
        share = leases.share(len(self.seats.taken))
        wanted = min(enough, share) - leases.held(seat.number)
        ids = leases.take(seat.number, wanted) if wanted > 0 else []
        ends = share < enough or not leases.available
        is_last = ends and (bool(ids) or not seat.told_last)
        seat.told_last = is_last or (seat.told_last and not ids)
        seat.asked_at = time.monotonic()
        return seat.actor.exchange.remote(ids, is_last)

    def _begin(self, seat: Seat) -> Any:
        """Has an actor begin; what it has done before counts no more."""
        seat.reset(self._in_flight)
        return seat.actor.begin.remote(versions(), **self._sent)

    def _require_same_answers(self, about: dict[str, Any]) -> None:
        """Raises `SettingError` where an actor's network answers with other bits."""
        self._probe = self._probe or about["probe"]
        if about["probe"] != self._probe:
            raise SettingError(
                f"{about['node']} ({about['device']}) evaluates positions to other bits than the"
                " others under the same inference plan; selfplay --mixed-hardware lets it play"
            )

    def _lose(self, seat: Seat, error: Exception) -> None:
        """Another plays the games of an actor that is lost; raises what has stopped its play."""
        reason = cause(error)
        is_short = isinstance(reason, MemoryShortError) or _is_out_of_memory(error)
        if not (isinstance(error, LOSSES) or (is_short and self._in_flight > 1)):
            raise reason from error
        back = self._dismiss(seat)
        self.seats.lost += 1
        self._losses += 1
        log.warning("an actor is lost; its %d games go to others", back)
        if self._losses > MOST_LOSSES:
            raise EngineError(f"{self._losses} actors were lost, one after another: {reason}")
        if is_short or self._losses % HALVING_LOSSES == 0:
            self._halve()

    def _halve(self) -> None:
        """Has actors that begin from now on play half as many games at a time."""
        self._in_flight = max(1, self._in_flight // 2)
        options = ray.get(self._sent["options"]) | {"games_in_flight": self._in_flight}
        self._sent["options"] = ray.put(options)
        self._tell("memory may be short: new actors play half as many games at a time")

    def _lose_hanging(self) -> None:
        """Gives up actors that have not answered for long, if they need not wait for a place."""
        now = time.monotonic()
        for seat in list(self._calls.values()):
            if now - seat.asked_at <= HANGING_SECONDS:
                continue
            if not seat.node and not self._is_room_for_one():
                seat.asked_at = now
                self._tell("actors wait for free processors")
            else:
                self._lose(seat, ray.exceptions.RayActorError())

    def _is_room_for_one(self) -> bool:
        free = resources(free=True)
        return all(free.get(name, 0.0) >= need for name, need in self._needs.items())

    def _room(self) -> int:
        """How many actors the processors there are can take."""
        there = resources(free=False)
        return min(int(there.get(name, 0.0) // need) for name, need in self._needs.items() if need)

    def _tell(self, message: str) -> None:
        """Logs what need not be said twice."""
        if message not in self._told:
            self._told.add(message)
            log.warning(message)


def _mark(about: dict[str, Any]) -> str:
    """What the games of an actor are marked by, of all that it has said of itself."""
    answers = hashlib.sha256(about["probe"]).hexdigest()[:16]
    return json.dumps({"device_name": about["device"], "answers": answers} | about["plan"])


def _marked(game: GameRecord, plan: str) -> GameRecord:
    return replace(game, plan=plan) if plan else game


def cause(error: Exception) -> HexAIError:
    """What an actor has raised, or that it could not."""
    raised = getattr(error, "cause", None)
    if isinstance(raised, HexAIError):
        return raised
    return EngineError(" ".join(str(error).split())[:300])


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Ray has ended an actor because its machine was about to run out of memory."""
    return isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in str(error)
