"""Learning by self-play: play a round of games with the average network, learn from it, repeat.

    games ─► store ─► window of samples ─► steps ─► averaged weights ─► games …

Games of a round begin and end with one set of weights, whose digest they carry. What a round does
follows from the settings, the state before it and how far the run is, which is noted before it
begins. So a run that was stopped, at any moment, goes on as if it had not been.

With `overlap` the games of a round are played while the round before it is learnt from, so by the
weights of the round before that.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import torch

from hex_ai.errors import InvalidEvaluationError, SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import (
    InferencePlan,
    default_plan,
    prompt_runtime,
    resolve_device,
)
from hex_ai.network.checkpoint import network_digest, save_checkpoint
from hex_ai.numbers import whole
from hex_ai.selfplay.progress_file import remove_progress
from hex_ai.selfplay.selfplay_engine import DEFAULT_GAMES_IN_FLIGHT
from hex_ai.training.divergence import diverged, require_finite
from hex_ai.training.learn_folder import RunFolder
from hex_ai.training.round_player import Played, Players, RoundPlan, RoundPlayer, players_here
from hex_ai.training.run_state import Progress, open_run
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.schedule import LearnSettings, Length, joined_sizes, learning_rate, next_size

# A checkpoint is kept whenever a run has this many times the games of the one before.
CHECKPOINT_GROWTH = 1.25

# Converting the network of a round takes one to two seconds, which rounds on smaller boards do not
# pay back.
CONVERTED_FROM = 9

# A round whose games are being played, and what gives them.
Coming: TypeAlias = tuple[RoundPlan, Callable[[], Played]]


@dataclass(frozen=True)
class Round:
    """What one round of play and learning came to.

    Attributes:
      number: counted from 1.
      board_size: of its games.
      games: played in the run by now; samples, evaluations, seconds: likewise.
      network: digest of the weights that played.
      done: how far the run was when the round began, 0 to 1.
      mean_length: of its games, in plies.
      agreement: share of its moves that were the policy's favourite.
      policy_loss: cross entropy in nats above the target's own; entropy: the target's own.
      value_loss: squared error.
      learning_rate: of its steps.
      play_seconds, learn_seconds: until its games were there, and from then on.
    """

    number: int
    board_size: int
    games: int
    samples: int
    evaluations: int
    seconds: float
    network: str
    done: float
    mean_length: float
    agreement: float
    policy_loss: float
    entropy: float
    value_loss: float
    learning_rate: float
    play_seconds: float
    learn_seconds: float


class Learner:
    """One run of learning in a folder. Use it as a context manager.

    Args:
      folder: where everything goes, see `hex_ai.training.learn_folder`.
      settings: what decides the run.
      init: checkpoint to start from instead of random weights.
      resume: go on with the run in the folder; with none there, start.
      device: `auto`, `cpu` or `cuda`.
      games_in_flight: by default that of the device. Changes speed, not games.
      players: who plays the games of a round, by default this process.

    Raises:
      StoreError: the folder cannot be used, or holds a run though `resume` was not asked for, or
        one with other settings.
      SettingError: `init` has another shape than the settings ask for.
      CheckpointError: `init` cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        settings: LearnSettings,
        *,
        init: Path | None = None,
        resume: bool = False,
        device: str = "auto",
        games_in_flight: int | None = None,
        players: Players | None = None,
    ) -> None:
        self.settings, self._players = settings, players or players_here
        self.plan = default_plan(resolve_device(device), runtime="eager")
        self._plans = {size: _plan(self.plan, size) for size in settings.board_sizes}
        if games_in_flight is None:
            games_in_flight = DEFAULT_GAMES_IN_FLIGHT[self.plan.kind]
        games_in_flight = whole("games in flight", games_in_flight)
        if games_in_flight < 1:
            raise SettingError(f"games in flight {games_in_flight} is not 1 or more")
        self._in_flight = games_in_flight
        self.folder = RunFolder(folder)
        try:
            self._state = open_run(self.folder, settings, self._plans, init, resume)
            self._keep_network()
        except BaseException:
            self.folder.close()
            raise

    def __enter__(self) -> "Learner":
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.close()

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self._state.progress

    def rounds(self, length: Length) -> Iterator[Round]:
        """Goes on until the run is as long as wanted; yields each round once it is on the disk.

        Closing the iterator, or an exception, gives up the round under way; a resume plays it
        again.
        """
        state, overlap = self._state, self.settings.overlap
        state.notes["length"] = asdict(length)
        self.folder.write_notes(state.notes)
        self._since, self._took = time.monotonic(), 0.0
        with RoundPlayer(self._players, self._in_flight, self.folder.path, overlap) as player:
            coming = self._begin(player, length)
            while coming is not None:
                plan, finish = coming
                played = self._finish(plan, finish)
                samples = self._take_in(plan, played)
                if overlap:
                    state.keep_player()
                    coming = self._begin(player, length)
                yield self._learn(plan, played, samples)
                self._since = time.monotonic()
                if not overlap:
                    coming = self._begin(player, length)
        self._keep_checkpoint()  # so that a ladder has it as its last rung
        remove_progress(self.folder.path)

    def _begin(self, player: RoundPlayer, length: Length) -> Coming | None:
        """Begins the play of the next round; None if the run is as long as wanted."""
        settings, progress = self.settings, self.progress
        done = length.done(progress.games, progress.seconds)
        # A round that would end further beyond the end than it begins before it is left out.
        middle = progress.seconds + self._took * (1.5 if settings.overlap else 0.5)
        if done >= 1 or (length.games is None and length.done(progress.games, middle) >= 1):
            return None
        size, network = next_size(self._joined(done), progress.shares), self._state.plays
        plan = RoundPlan(
            number=progress.rounds,
            ids=range(progress.games, progress.games + settings.games_per_round),
            done=done,
            network=network,
            digest=network_digest(network),
            inference=self._plans[size],
            settings=settings.play_settings(size),
        )
        return plan, player.start(plan)

    def _finish(self, plan: RoundPlan, finish: Callable[[], Played]) -> Played:
        """The games of a round that was begun."""
        try:
            return finish()
        except InvalidEvaluationError as error:
            learnt_in = plan.number - self.settings.overlap
            if learnt_in <= 0:  # the network that the run was given
                raise
            raise diverged(f"in round {learnt_in}", self.settings.learning_rate) from error

    def _take_in(self, plan: RoundPlan, played: Played) -> Samples:
        """Stores and counts the games of a round; what is to be learnt from them."""
        progress, size = self.progress, plan.settings.board_size
        self.folder.store_games(size, plan.number, played.games)
        samples = samples_from_games(played.games)
        self._state.windows[size].add(samples)
        progress.rounds += 1
        progress.games += len(played.games)
        progress.evaluations += played.evaluations
        progress.samples[size] = progress.samples.get(size, 0) + len(samples)
        # Larger boards get more samples, in proportion to N.
        progress.shares[size] += len(samples) / size
        return samples

    def _learn(self, plan: RoundPlan, played: Played, samples: Samples) -> Round:
        """Takes the steps of a round, and has it count."""
        state, settings, started = self._state, self.settings, time.monotonic()
        rate = learning_rate(settings, plan.done)
        state.trainer.set_learning_rate(rate)
        steps = math.ceil(len(samples) * settings.reuse / settings.batch)
        # The windows of all sizes with games, weighted as their samples come in over time.
        weighted = [(n, window.samples) for n, window in state.windows.items() if len(window)]
        losses = state.trainer.fit(weighted, steps, settings.batch, state.generator)
        place, tried = f"in round {plan.number + 1}", [samples for _, samples in weighted]
        require_finite(place, settings.learning_rate, state.trainer, losses, tried)
        self._took = time.monotonic() - self._since
        self.progress.seconds += self._took
        games = played.games
        finished = Round(
            number=plan.number + 1,
            board_size=plan.settings.board_size,
            games=plan.ids.stop,
            samples=sum(self.progress.samples.values()),
            evaluations=self.progress.evaluations,
            seconds=self.progress.seconds,
            network=plan.digest,
            done=plan.done,
            mean_length=sum(len(game.moves) for game in games) / len(games),
            agreement=_agreement(games),
            policy_loss=losses.policy,
            entropy=losses.entropy,
            value_loss=losses.value,
            learning_rate=rate,
            play_seconds=started - self._since,
            learn_seconds=time.monotonic() - started,
        )
        state.notes["rounds"].append(asdict(finished))
        self._keep_network()
        state.save(self.folder)
        return finished

    def _joined(self, done: float) -> tuple[int, ...]:
        """The sizes that take turns now; one that is new begins level with the others."""
        shares = self.progress.shares
        joined = joined_sizes(self.settings, 1.0 if self._state.notes["init"] else done)
        level = min(shares.values(), default=0.0)
        for size in joined:
            shares.setdefault(size, level)
        return tuple(shares)

    def _keep_network(self) -> None:
        """Writes the newest network, and keeps a copy now and then."""
        self._save_network(self.folder.network_path)
        if self.progress.games >= self.progress.checkpoint_games * CHECKPOINT_GROWTH:
            self._keep_checkpoint()
            self.progress.checkpoint_games = self.progress.games

    def _keep_checkpoint(self) -> None:
        path = self.folder.checkpoint_path(self.progress.games)
        if not path.exists():
            self._save_network(path)

    def _save_network(self, path: Path) -> None:
        about = {name: getattr(self.progress, name) for name in ("games", "seconds", "rounds")}
        save_checkpoint(path, self._state.trainer.average_network, about)


def _plan(eager: InferencePlan, size: int) -> InferencePlan:
    """How the games of a round are played on boards of a size."""
    device = torch.device(eager.device)
    runtime = prompt_runtime(device) if size >= CONVERTED_FROM else eager.runtime
    return default_plan(device, runtime)


def _agreement(games: list[GameRecord]) -> float:
    agreed = sum(game.agreement[0] for game in games)
    return agreed / max(sum(game.agreement[1] for game in games), 1)
