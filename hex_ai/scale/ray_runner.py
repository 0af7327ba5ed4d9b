"""Games played by actors of Ray, with the face of a `Runner`.

An actor that is lost costs its games in flight, which others play again: the same games, for a
game depends on the run's settings and its id alone.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import ray
import torch

from hex_ai.errors import EngineError, HexAIError, SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.scale.game_actor import GameActor, from_bytes, versions
from hex_ai.scale.leases import Leases
from hex_ai.selfplay.game_batch import GameBatch, StepWatcher
from hex_ai.selfplay.settings import SelfPlaySettings

log = logging.getLogger(__name__)

# Seconds without an answer after which an actor counts as hanging.
HANGING_SECONDS = 120.0

# Losses in a row, without a game finished in between, after which a run gives up.
MOST_LOSSES = 20

# Games that an actor holds, as a multiple of those that it has in flight.
RESERVE = 2

_LOSSES = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError)


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


@dataclass
class Seat:
    """A place at which an actor plays.

    Attributes:
      number: counts actors, lost ones too.
      actor: of Ray.
      asked_at: when its last call began.
      told_last: it has been told that no more games will come.
      counts: what its model has counted.
      searches: positions that it has searched.
    """

    number: int
    actor: Any
    asked_at: float = 0.0
    told_last: bool = False
    counts: dict[str, Any] = field(default_factory=dict)
    searches: int = 0


class RayRunner:
    """Plays games by actors.

    Args:
      actors: how many.
      threads: processors that each takes.

    Attributes:
      settings: of the job.
      watcher: is called whenever actors have answered.
      lost: actors that were lost.
    """

    def __init__(self, actors: int, threads: int) -> None:
        if actors < 1:
            raise SettingError(f"{actors} actors are not positive")
        self.device, self.workers = torch.device("cpu"), actors
        self.watcher, self.lost = StepWatcher(), 0
        self._threads = threads
        self._job: Callable[[], Job] | None = None
        self._in_flight, self._sent = 0, dict[str, Any]()
        self._made = self._losses = 0
        self._past: list[Seat] = []
        self._seats: list[Seat] = []
        self._probe: bytes | None = None

    def set_job(self, job: Callable[[], Job]) -> None:
        """What is to be played from the next `play` on, which asks for it."""
        self._job = job

    @property
    def searches(self) -> int:
        """Positions searched since `play` was called last."""
        return sum(seat.searches for seat in (*self._past, *self._seats))

    def counts(self, name: str) -> float:
        """A count of all models together."""
        return sum(float(seat.counts.get(name, 0)) for seat in (*self._past, *self._seats))

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
        leases = Leases(ids)
        if self._job is None:
            raise SettingError("actors want a job")
        job = self._job()
        self.settings, self._in_flight = job.settings, job.options["games_in_flight"]
        self._sent = {name: ray.put(value) for name, value in job.arguments().items()}
        self._past, self._probe, is_done = [], None, False
        try:
            waiting = {self._begin(seat): seat for seat in self._seats}
            waiting |= dict(self._new_call() for _ in range(self.workers - len(waiting)))
            while waiting:
                yield self._next_games(waiting, leases)
                self.watcher.stepped(cast("GameBatch", self))
            is_done = True
        finally:
            if not is_done:
                self.close()

    def close(self) -> None:
        """Ends the actors."""
        for seat in self._seats:
            ray.kill(seat.actor)
        self._past, self._seats = [*self._past, *self._seats], []

    def _next_games(self, waiting: dict[Any, Seat], leases: Leases) -> list[GameRecord]:
        """What those actors that have answered have finished; they are asked again."""
        ready, _ = ray.wait(list(waiting), timeout=1.0)
        found: list[GameRecord] = []
        for call in ready:
            seat = waiting.pop(call)
            try:
                answer = ray.get(call)
            except ray.exceptions.RayError as error:
                waiting.update([self._replaced(seat, leases, error)])
                continue
            found += self._taken_in(seat, answer, leases)
            if not leases.done:
                waiting[self._ask(seat, leases)] = seat
        self._replace_hanging(waiting, leases)
        return found

    def _taken_in(self, seat: Seat, answer: dict[str, Any], leases: Leases) -> list[GameRecord]:
        if "probe" in answer:
            self._require_same_answers(answer)
            return []
        seat.counts, seat.searches = answer["stats"], answer["searches"]
        if answer["games"] is None:
            return []
        self._losses = 0
        return [game for game in from_bytes(answer["games"]) if leases.finish(seat.number, game)]

    def _ask(self, seat: Seat, leases: Leases) -> Any:
        """Asks an actor for what it has finished, and sees to it that it has enough to play."""
        wanted = RESERVE * self._in_flight - leases.held(seat.number)
        ids = leases.take(seat.number, wanted) if wanted > 0 else []
        is_last = not leases.available and (bool(ids) or not seat.told_last)
        seat.told_last = is_last or (seat.told_last and not ids)
        seat.asked_at = time.monotonic()
        return seat.actor.exchange.remote(ids, is_last)

    def _new_call(self) -> tuple[Any, Seat]:
        """A new actor, and the call by which it begins."""
        self._made += 1
        remote: Any = ray.remote(num_cpus=self._threads, max_restarts=0)(GameActor)
        actor = remote.remote()
        seat = Seat(self._made, actor)
        self._seats.append(seat)
        return self._begin(seat), seat

    def _begin(self, seat: Seat) -> Any:
        """Has an actor begin; what it has done before counts no more."""
        seat.counts, seat.searches, seat.told_last = {}, 0, False
        seat.asked_at = time.monotonic()
        return seat.actor.begin.remote(versions(), **self._sent)

    def _require_same_answers(self, about: dict[str, Any]) -> None:
        """Raises `SettingError` where an actor's network answers with other bits."""
        self._probe = self._probe or about["probe"]
        if about["probe"] != self._probe:
            raise SettingError(
                f"{about['node']} ({about['device']}) evaluates positions to other bits than the"
                " others under the same inference plan"
            )

    def _replaced(self, seat: Seat, leases: Leases, error: Exception) -> tuple[Any, Seat]:
        """A new actor for one that is lost, and its call; raises what has stopped its play."""
        if not isinstance(error, _LOSSES):
            raise _cause(error) from error
        self.lost += 1
        self._losses += 1
        back = leases.give_back(seat.number)
        log.warning("an actor is lost; its %d games go to others", back)
        if self._losses > MOST_LOSSES:
            raise EngineError(
                f"{self._losses} actors were lost, one after another: {_cause(error)}"
            )
        self._seats.remove(seat)
        self._past.append(seat)
        return self._new_call()

    def _replace_hanging(self, waiting: dict[Any, Seat], leases: Leases) -> None:
        for call, seat in list(waiting.items()):
            if time.monotonic() - seat.asked_at > HANGING_SECONDS:
                del waiting[call]
                ray.kill(seat.actor)
                hanging = ray.exceptions.RayActorError()
                waiting.update([self._replaced(seat, leases, hanging)])


def _cause(error: Exception) -> HexAIError:
    """What an actor has raised, or that it could not."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, HexAIError):
        return cause
    return EngineError(" ".join(str(error).split())[:300])
