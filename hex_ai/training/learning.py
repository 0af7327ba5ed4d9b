"""Learning by self-play: play a round of games with the average network, learn from it, repeat.

    games ─► store ─► window of samples ─► steps ─► averaged weights ─► games …

Games of a round begin and end with one set of weights, whose digest they carry. What a round does
follows from the settings, the state before it and how far the run is, which is noted before it
begins. So a run that was stopped, at any moment, goes on as if it had not been.
"""

import copy
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hex_ai.errors import CheckpointError, SettingError, StoreError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import default_plan, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.architecture import architecture_of, config_of
from hex_ai.network.checkpoint import load_checkpoint, network_digest, save_checkpoint
from hex_ai.network.resnet import HexNetwork
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.selfplay_engine import DEFAULT_GAMES_IN_FLIGHT
from hex_ai.training.growth import shaped
from hex_ai.training.learn_folder import RunFolder
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.schedule import LearnSettings, Length, joined_sizes, learning_rate, next_size
from hex_ai.training.trainer import Trainer
from hex_ai.training.window import Window

log = logging.getLogger(__name__)

# A checkpoint is kept whenever a run has this many times the games of the one before.
CHECKPOINT_GROWTH = 1.25


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


@dataclass
class Progress:
    """How far a run is: rounds, games, samples, evaluations and seconds; by board size the share it
    has had, and the samples it has given."""

    rounds: int = 0
    games: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    checkpoint_games: int = 0
    shares: dict[int, float] = field(default_factory=dict)
    samples: dict[int, int] = field(default_factory=dict)


class Learner:
    """One run of learning in a folder. Use it as a context manager.

    Args:
      folder: where everything goes, see `hex_ai.training.learn_folder`.
      settings: what decides the run.
      init: checkpoint to start from instead of random weights; it grows to the shape of `settings`.
      resume: go on with the run in the folder; with none there, start.
      device: `auto`, `cpu` or `cuda`.
      games_in_flight: by default that of the device. Changes speed, not games.

    Raises:
      StoreError: the folder cannot be used, or holds a run though `resume` was not asked for, or
        one with other settings.
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
    ) -> None:
        self.settings = settings
        self.plan = default_plan(resolve_device(device), runtime="eager")
        self.device = torch.device(self.plan.device)
        if games_in_flight is None:
            games_in_flight = DEFAULT_GAMES_IN_FLIGHT[self.plan.device]
        if games_in_flight < 1:
            raise SettingError(f"games in flight {games_in_flight} is not 1 or more")
        self._in_flight = games_in_flight
        self.progress = Progress()
        self._generator = torch.Generator().manual_seed(settings.seed)
        self.folder = RunFolder(folder)
        try:
            self._open(init, resume)
        except BaseException:
            self.folder.close()
            raise

    def __enter__(self) -> "Learner":
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.close()

    def rounds(self, length: Length) -> Iterator[Round]:
        """Goes on until the run is as long as wanted; yields each round once it is on the disk.

        Closing the iterator, or an exception, gives up the round under way; a resume plays it
        again.
        """
        self.notes["length"] = asdict(length)
        self.folder.write_notes(self.notes)
        length_of_round = 0.0
        while True:
            # A round that would end further beyond the end than it begins before it is left out.
            done = length.done(self.progress.games, self.progress.seconds)
            ends = length.done(self.progress.games, self.progress.seconds + length_of_round / 2)
            if done >= 1 or (length.games is None and ends >= 1):
                self._keep_last()
                return
            started = time.monotonic()
            yield self._round(done, started)
            length_of_round = time.monotonic() - started

    def _open(self, init: Path | None, resume: bool) -> None:
        state, notes = self.folder.load_state(), self.folder.read_notes()
        self._require_whole(state, notes, resume)
        torch.manual_seed(self.settings.seed)
        if state is None or notes is None:
            network, origin = _first_network(self.settings, init)
        else:
            network, origin = _network_of_run(notes, init)
        self.trainer = Trainer(
            network.to(self.device),
            self.settings.learning_rate,
            mixed=self.plan.precision == "bfloat16",
        )
        self.notes: dict[str, Any] = {
            "settings": self.settings.to_json(),
            "init": origin,
            "network": {
                "architecture": architecture_of(network).name,
                "config": config_of(network),
            },
            "plan": self.plan.to_json(),
            "length": None if notes is None else notes.get("length"),
            "rounds": [],
        }
        if notes is not None:
            self._compare(notes)
            if state is not None:
                self._restore(state, notes)
        # Before the games: without its notes a folder with games cannot be gone on with.
        self.folder.write_notes(self.notes)
        self._open_games()
        self._windows = {size: self._window(size) for size in self.settings.board_sizes}
        self.folder.drop_later_checkpoints(self.progress.games)
        self._keep_checkpoint()

    def _require_whole(
        self, state: dict[str, Any] | None, notes: dict[str, Any] | None, resume: bool
    ) -> None:
        """Refuses folders that hold what would be lost, or cannot be gone on with.

        A run that was stopped in its first round has notes of one round at most and no state.
        """
        path = self.folder.path
        if notes is None and (state is not None or (path / "games").exists()):
            raise StoreError(f"{path}: holds games or a state of learning but no learn.json")
        if notes is not None and not resume:
            raise StoreError(f"{path}: holds a run already; --resume goes on with it")
        if notes is not None and state is None and len(notes["rounds"]) > 1:
            raise StoreError(f"{path}: state.pt is missing, cannot go on without it")

    def _open_games(self) -> None:
        """Opens the folders of games, and clears them of a round that did not count."""
        run = {
            "network": self.notes["network"] | {"learnt_in": "learn.json"},
            "plan": self.notes["plan"],
        }
        for size in self.settings.board_sizes:
            play = asdict(self.settings.play_settings(size))
            play["value_weight"] = str(play["value_weight"])
            about = run | {"settings": play}
            most = self.settings.games_per_round
            self.folder.open_games(size, about, self.progress.games, most)

    def _compare(self, notes: Mapping[str, Any]) -> None:
        """Settings must be those of the run; a plan may change, at the price of other bits."""
        shape = notes["network"]["config"]
        for name, value in self.settings.to_json().items():
            before = shape.get(name, notes["settings"].get(name))
            if before != value and not (name in shape and value is None):
                raise StoreError(
                    f"{self.folder.path}: {name} is {before!r} in this run, not {value!r}"
                )
        if notes["init"] != self.notes["init"]:
            raise StoreError(f"{self.folder.path}: the run began with another network")
        if notes["plan"] != self.notes["plan"]:
            log.warning("the inference plan is another now: games may differ in their last bits")

    def _restore(self, state: dict[str, Any], notes: Mapping[str, Any]) -> None:
        try:
            self.trainer.load_state_dict(state["trainer"])
            self._generator.set_state(state["generator"])
            self.progress = Progress(**state["progress"])
            self.notes["rounds"] = notes["rounds"][: self.progress.rounds]
            if len(self.notes["rounds"]) < self.progress.rounds:
                raise ValueError("learn.json has fewer rounds")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise StoreError(f"{self.folder.path}/state.pt: does not fit this run") from error

    def _window(self, size: int) -> Window:
        window = Window()
        stored = (samples_from_games(games) for games in self.folder.newest_games(size))
        window.refill(stored, self.progress.samples.get(size, 0))
        return window

    def _round(self, done: float, started: float) -> Round:
        joined = self._join(done)
        size = next_size(joined, self.progress.shares)
        network = self.trainer.average_network
        digest = network_digest(network)
        games, evaluations = self._play(network, size, digest)
        played = time.monotonic()
        self.folder.store_games(size, self.progress.rounds, games)
        samples = samples_from_games(games)
        self._windows[size].add(samples)
        rate = learning_rate(self.settings, done)
        self.trainer.set_learning_rate(rate)
        steps = math.ceil(len(samples) * self.settings.reuse / self.settings.batch)
        losses = self.trainer.fit(self._learnt_from(), steps, self.settings.batch, self._generator)
        self._count(size, len(games), len(samples), evaluations, time.monotonic() - started)
        return self._finish(
            Round(
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
        )

    def _learnt_from(self) -> list[tuple[float, Samples]]:
        """The windows of all sizes with games, weighted as their samples come in over time."""
        return [(size, window.samples) for size, window in self._windows.items() if len(window)]

    def _join(self, done: float) -> tuple[int, ...]:
        """The sizes that take turns now; one that is new begins level with the others."""
        shares = self.progress.shares
        joined = joined_sizes(self.settings, 1.0 if self.notes["init"] else done)
        level = min(shares.values(), default=0.0)
        for size in joined:
            shares.setdefault(size, level)
        return tuple(shares)

    def _play(self, network: nn.Module, size: int, digest: str) -> tuple[list[GameRecord], int]:
        model = ModelInference(copy.deepcopy(network), self.plan)
        lanes = Runner(
            model,
            self.settings.play_settings(size),
            games_in_flight=min(self._in_flight, self.settings.games_per_round),
            device=self.device,
            network=digest,
        )
        first = self.progress.games
        ids = range(first, first + self.settings.games_per_round)
        games = [game for some in lanes.play(ids) for game in some]
        # In an order that does not depend on how many were in flight.
        games.sort(key=lambda game: game.game_id)
        return games, model.stats.evaluations

    def _count(self, size: int, games: int, samples: int, evaluations: int, seconds: float) -> None:
        progress = self.progress
        progress.rounds += 1
        progress.games += games
        progress.evaluations += evaluations
        progress.seconds += seconds
        progress.samples[size] = progress.samples.get(size, 0) + samples
        # Larger boards get more samples, in proportion to N.
        progress.shares[size] += samples / size

    def _finish(self, done: Round) -> Round:
        self.notes["rounds"].append(asdict(done))
        self._keep_checkpoint()
        self.folder.write_notes(self.notes)
        self.folder.save_state(
            {
                "trainer": self.trainer.state_dict(),
                "generator": self._generator.get_state(),
                "progress": asdict(self.progress),
            }
        )
        return done

    def _keep_checkpoint(self) -> None:
        """Writes the newest network, and keeps a copy now and then."""
        network, games = self.trainer.average_network, self.progress.games
        about = {"games": games, "seconds": self.progress.seconds, "rounds": self.progress.rounds}
        save_checkpoint(self.folder.network_path, network, about)
        if games >= self.progress.checkpoint_games * CHECKPOINT_GROWTH:
            save_checkpoint(self.folder.checkpoint_path(games), network, about)
            self.progress.checkpoint_games = games

    def _keep_last(self) -> None:
        """Keeps the network that a run ends with, so that a ladder has it as its last rung."""
        path = self.folder.checkpoint_path(self.progress.games)
        if not path.exists():
            about = {"games": self.progress.games, "rounds": self.progress.rounds}
            save_checkpoint(path, self.trainer.average_network, about)


def _first_network(settings: LearnSettings, init: Path | None) -> tuple[nn.Module, str | None]:
    """The network that a run starts from, and the digest of the one it was given."""
    if init is None:
        return shaped(None, settings.channels, settings.blocks), None
    checkpoint = load_checkpoint(init)
    if not isinstance(checkpoint.network, HexNetwork):
        raise CheckpointError(f"{init}: only a {HexNetwork.__name__} can be learnt with")
    network = shaped(checkpoint.network, settings.channels, settings.blocks)
    return network.requires_grad_(True), checkpoint.digest


def _network_of_run(notes: Mapping[str, Any], init: Path | None) -> tuple[nn.Module, str | None]:
    """A network of the shape of a run's, and the digest of the one it began with, if it did with
    `init`."""
    origin = notes["init"] if init is None else load_checkpoint(init).digest
    return shaped(None, **notes["network"]["config"]), origin


def _agreement(games: list[GameRecord]) -> float:
    agreed = sum(game.agreement[0] for game in games)
    return agreed / max(sum(game.agreement[1] for game in games), 1)
