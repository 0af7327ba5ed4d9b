"""Learning by self-play: play a round of games with the average network, learn from it, repeat.

    games ─► store ─► window of samples ─► steps ─► averaged weights ─► games …

Games of a round begin and end with one set of weights, whose digest they carry. What a round does
follows from the settings, the state before it and how far the run is, which is noted before it
begins. So a run that was stopped, at any moment, goes on as if it had not been.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from hex_ai.errors import InvalidEvaluationError, SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import (
    InferencePlan,
    default_plan,
    prompt_runtime,
    resolve_device,
)
from hex_ai.inference.inference_stats import speeds
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.checkpoint import network_digest, save_checkpoint
from hex_ai.numbers import whole
from hex_ai.selfplay.progress_file import ProgressFile, remove_progress
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.selfplay_engine import DEFAULT_GAMES_IN_FLIGHT
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.training.divergence import diverged, require_finite
from hex_ai.training.learn_folder import RunFolder
from hex_ai.training.run_state import Progress, open_run
from hex_ai.training.samples import samples_from_games
from hex_ai.training.schedule import LearnSettings, Length, joined_sizes, learning_rate, next_size

# A checkpoint is kept whenever a run has this many times the games of the one before.
CHECKPOINT_GROWTH = 1.25

# Converting the network of a round takes one to two seconds, which rounds on smaller boards do not
# pay back.
CONVERTED_FROM = 9


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
      play_seconds, learn_seconds: what it took.
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


# Of a network under a plan, by settings, with so many games in flight and a digest for the records.
Players: TypeAlias = Callable[
    [nn.Module, InferencePlan, SelfPlaySettings, int, str], tuple[ModelInference, Runner]
]


def players_here(
    network: nn.Module, plan: InferencePlan, settings: SelfPlaySettings, in_flight: int, digest: str
) -> tuple[ModelInference, Runner]:
    """A model of the network, and who plays by it in this process."""
    model = ModelInference(copy.deepcopy(network), plan)
    runner = Runner(model, settings, games_in_flight=in_flight, device=model.device, network=digest)
    return model, runner


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
        self._state.notes["length"] = asdict(length)
        self.folder.write_notes(self._state.notes)
        length_of_round = 0.0
        while True:
            # A round that would end further beyond the end than it begins before it is left out.
            done = length.done(self.progress.games, self.progress.seconds)
            ends = length.done(self.progress.games, self.progress.seconds + length_of_round / 2)
            if done >= 1 or (length.games is None and ends >= 1):
                self._keep_checkpoint()  # so that a ladder has it as its last rung
                remove_progress(self.folder.path)
                return
            started = time.monotonic()
            yield self._round(done, started)
            length_of_round = time.monotonic() - started

    def _round(self, done: float, started: float) -> Round:
        state, settings = self._state, self.settings
        size = next_size(self._joined(done), self.progress.shares)
        network = state.trainer.average_network
        digest = network_digest(network)
        try:
            games, evaluations = self._play(network, size, digest)
        except InvalidEvaluationError as error:
            if not self.progress.rounds:  # the network that the run was given
                raise
            place = f"in round {self.progress.rounds}"
            raise diverged(place, settings.learning_rate) from error
        played = time.monotonic()
        self.folder.store_games(size, self.progress.rounds, games)
        samples = samples_from_games(games)
        state.windows[size].add(samples)
        rate = learning_rate(settings, done)
        state.trainer.set_learning_rate(rate)
        steps = math.ceil(len(samples) * settings.reuse / settings.batch)
        # The windows of all sizes with games, weighted as their samples come in over time.
        weighted = [(n, window.samples) for n, window in state.windows.items() if len(window)]
        losses = state.trainer.fit(weighted, steps, settings.batch, state.generator)
        place, tried = f"in round {self.progress.rounds + 1}", [samples for _, samples in weighted]
        require_finite(place, settings.learning_rate, state.trainer, losses, tried)
        self._count(size, len(games), len(samples), evaluations, time.monotonic() - started)
        finished = Round(
            number=self.progress.rounds,
            board_size=size,
            games=self.progress.games,
            samples=sum(self.progress.samples.values()),
            evaluations=self.progress.evaluations,
            seconds=self.progress.seconds,
            network=digest,
            done=done,
            mean_length=sum(len(game.moves) for game in games) / len(games),
            agreement=_agreement(games),
            policy_loss=losses.policy,
            entropy=losses.entropy,
            value_loss=losses.value,
            learning_rate=rate,
            play_seconds=played - started,
            learn_seconds=time.monotonic() - played,
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

    def _play(self, network: nn.Module, size: int, digest: str) -> tuple[list[GameRecord], int]:
        """The games of a round, in the order of their ids, and the evaluations they took."""
        in_flight = min(self._in_flight, self.settings.games_per_round)
        settings = self.settings.play_settings(size)
        model, runner = self._players(network, self._plans[size], settings, in_flight, digest)
        first, started = self.progress.games, time.monotonic()
        ids = range(first, first + self.settings.games_per_round)
        games: list[GameRecord] = []

        def stats() -> dict[str, object]:
            found = model.get_performance_stats()
            found |= speeds(found, runner.searches, time.monotonic() - started)
            return {"stats": found | {"finished_games": len(games), "games_to_play": len(ids)}}

        runner.watcher = ProgressFile(self.folder.path, stats)
        for some in runner.play(ids):
            games += some
        evaluations = int(model.get_performance_stats()["evaluations"])
        return sorted(games, key=lambda game: game.game_id), evaluations

    def _count(self, size: int, games: int, samples: int, evaluations: int, seconds: float) -> None:
        progress = self.progress
        progress.rounds += 1
        progress.games += games
        progress.evaluations += evaluations
        progress.seconds += seconds
        progress.samples[size] = progress.samples.get(size, 0) + samples
        # Larger boards get more samples, in proportion to N.
        progress.shares[size] += samples / size

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
