"""The main loop: games that advance in lockstep, one ply a step, through shared batches.

Axes: `S` slots, each with a game under way; `A` moves; `K` slots of a call. A finished game's slot
gets the next game at once; once there are no more, the slot is dropped.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor

from hex_ai.errors import MemoryShortError
from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.records import ENDS, PROVEN, RESIGN, GameRecord
from hex_ai.inference.fixed_tree_search import SearchTree, build_search_tree_with_collection
from hex_ai.inference.move_choice import choose_candidates, fairest_move, log_priors
from hex_ai.inference.position_collector import Collector
from hex_ai.inference.runtimes import out_of_memory
from hex_ai.keyed_random import Stream, gumbel_noise, uniform_noise
from hex_ai.network.torch_state import undisturbed
from hex_ai.selfplay.game_log import GameLog, to_device, to_host
from hex_ai.selfplay.openings import (
    random_cells,
    random_plies,
    scheduled_temperature,
)
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.selfplay.stopping import played_on, resigned

# Of the candidates of a search where most moves are the policy's: what it finds is what the policy
# learns, so it looks at more than the favourites.
EXPLORING_TEMPERATURE = 1.0


class StepWatcher:
    """Is called as batches of games advance, in the thread that plays them. Does nothing itself."""

    def started(self, batch: "GameBatch") -> None:
        """Called once for each batch, before its first step."""

    def stepped(self, batch: "GameBatch") -> None:
        """Called after each step. An exception stops the play."""


class GameBatch:
    """Plays the games with the given ids, at most `slots` at a time.

    Args:
      settings: what decides the games.
      collector: evaluates positions, which live on `device`.
      game_ids: the ids to play, taken as slots become free; may be shared with other batches.
      slots: games in flight, at least 1.
      network: digest written into the records.
      watcher: is called at every step.

    Attributes:
      searches: positions searched so far.

    Raises:
      MemoryShortError: not enough memory.
    """

    @undisturbed()
    def __init__(
        self,
        settings: SelfPlaySettings,
        collector: Collector,
        game_ids: Iterator[int],
        slots: int,
        device: torch.device,
        network: str,
        watcher: StepWatcher | None = None,
    ) -> None:
        self.settings, self.collector, self.device = settings, collector, device
        self.searches = 0
        self._network, self._next_ids = network, game_ids
        self._watcher = watcher or StepWatcher()
        with _memory_for(slots, settings):
            self._log = GameLog(slots, settings, device)
            self._positions = Positions.empty(slots, settings.board_size, device)
            self._ids = torch.zeros(slots, dtype=torch.int64, device=device)
            self._plies = torch.zeros(slots, dtype=torch.int64, device=device)
            self._declined_swap = torch.zeros(slots, dtype=torch.bool, device=device)
            self._start_games(torch.arange(slots, device=device))
        self._watcher.started(self)

    def __len__(self) -> int:
        """Games under way."""
        return len(self._ids)

    def place(self, positions: Positions, plies: Tensor) -> None:
        """Puts other unfinished positions (`S`) and their plies (int64 `[S]`) into the slots.

        The records of these games lack what came before: it is for measuring at mixed plies.
        """
        self._positions, self._plies = positions, plies

    def play(self) -> Generator[list[GameRecord], None, None]:
        """Steps until no game is left; yields the games that ended with each step.

        Raises:
          MemoryShortError: not enough memory.
          NetworkError: the network gave an invalid evaluation.
        """
        while len(self):
            with _memory_for(len(self), self.settings):
                games = self.step()
            self.collector.check()
            self._watcher.stepped(self)
            yield games

    @undisturbed()
    def under_way(self, most: int) -> list[tuple[int, list[int]]]:
        """Ids and moves so far (board cells and `SWAP`) of some games, by one read."""
        if not len(self):
            return []
        shown = {"ids": self._ids, "plies": self._plies, "moves": self._log.fields["moves"]}
        found = to_host({name: field[:most] for name, field in shown.items()})
        rows = zip(*(found[name].tolist() for name in shown), strict=True)
        return [(game_id, moves[:plies]) for game_id, plies, moves in rows]

    @undisturbed()
    def step(self) -> list[GameRecord]:
        """Moves once in every game; returns the games that ended with it.

        At the second ply under the pie rule a step first only decides whether Blue swaps, at
        temperature 0; where Blue does not, the move comes with the next step.
        """
        moves = torch.zeros_like(self._plies)
        values = torch.zeros(len(self), dtype=torch.float32, device=self.device)
        searched, others = self._split()
        if len(searched):
            temperature, value_weight = self._temperatures(searched)
            if self.settings.searched < 1:
                temperature = torch.full_like(temperature, EXPLORING_TEMPERATURE)
            tree = build_search_tree_with_collection(
                self._positions[searched],
                self.settings.search_widths,
                temperature.masked_fill(self._asks_swap()[searched], 0.0),
                self.collector,
                noise=self._noise(searched),
                value_weight=value_weight,
            )
            moves[searched], values[searched] = self._choose(searched, tree), tree.values
            self.searches += len(searched)
        if len(others):
            moves[others] = self._follow_policy(others)
        return self._advance(moves, values)

    def _asks_swap(self) -> Tensor:
        """bool `[S]`: where it is yet to be decided whether Blue swaps."""
        return (self._plies == 1) & self.settings.swap & ~self._declined_swap

    def _split(self) -> tuple[Tensor, Tensor]:
        """int64 `[K]` each: the slots to search, and those to move by the policy alone.

        Reads from the device, unless every ply is searched.
        """
        slots = torch.arange(len(self), device=self.device)
        if self.settings.searched == 1:
            return slots, slots[:0]
        draws = uniform_noise(self.settings.seed, self._ids, Stream.SEARCHED - self._plies)
        searched = self._asks_swap() | (draws < self.settings.searched)
        return slots[searched], slots[~searched]

    def _temperatures(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """float64 `[K]` each, for these slots (int64 `[K]`): temperature and value weight."""
        settings, plies = self.settings, self._plies[slots]
        if settings.temperature is None:
            temperature = scheduled_temperature(plies, settings.board_size)
        else:
            temperature = torch.full_like(plies, settings.temperature, dtype=torch.float64)
        value_weight = torch.full_like(temperature, settings.value_weight)
        if settings.opening == "policy":
            temperature = temperature.masked_fill(plies == 0, 1.0)
            value_weight = value_weight.masked_fill(plies == 0, 0.0)
        return temperature, value_weight

    def _noise(self, slots: Tensor) -> Tensor:
        """float64 `[K, A]`: the draws of the next moves in these slots (int64 `[K]`)."""
        ids, plies = self._ids[slots], self._plies[slots]
        return gumbel_noise(self.settings.seed, ids, plies, self._positions.moves)

    def _choose(self, slots: Tensor, tree: SearchTree) -> Tensor:
        """int64 `[K]`: the moves to play in the slots searched, as their movers see them."""
        moves, plies = tree.chosen, self._plies[slots]
        if self.settings.opening == "empty" and self.settings.swap:
            moves = torch.where(plies == 0, fairest_move(tree.candidates, tree.q), moves)
        swaps = self._asks_swap()[slots] & (tree.values < 0)
        self._log.write_search(slots, plies, tree, moves, swaps)
        return moves

    def _follow_policy(self, slots: Tensor) -> Tensor:
        """int64 `[K]`: the moves of the policy in these slots, as their movers see them."""
        positions = self._positions[slots]
        logits, _ = self.collector.evaluate(positions)
        prior = log_priors(logits, positions.legal_moves())
        temperature, _ = self._temperatures(slots)
        moves = choose_candidates(prior, self._noise(slots), temperature, 1).cells[:, 0]
        self._log.write_unsearched(slots, self._plies[slots], positions.to_board_cells(moves))
        return moves

    def _advance(self, moves: Tensor, values: Tensor) -> list[GameRecord]:
        """Plays the moves, int64 `[S]`, or swaps where a value says so; the games that end with it.

        The values, float32 `[S]`, are those of the searches; 0 where none was made.
        """
        asks_swap = self._asks_swap()
        swaps = asks_swap & (values < 0)
        self._declined_swap = asks_swap & ~swaps  # their move comes with the next step
        self._positions = Positions.where(
            asks_swap, self._positions.swap(swaps), self._positions.play(moves)
        )
        ends = self._stop(values)
        self._plies = self._plies + (~self._declined_swap)
        ended = self._positions.finished.nonzero()[:, 0]
        if not len(ended):
            return []
        games = self._records(ended, ends)
        self._start_games(ended)
        return games

    def _stop(self, values: Tensor) -> Tensor:
        """Ends games by the stop rules; int64 `[S]`, index into `ENDS` of each ended one.

        The values, float32 `[S]`, are those of the search that has just moved.
        """
        settings, ends = self.settings, torch.zeros_like(self._plies)
        ended = self._positions.finished
        if RESIGN in settings.stop:
            before = self._log.values_before(self._plies)
            gives_up = resigned(values, before, self._plies, settings.resign_threshold)
            goes_on = played_on(settings.seed, self._ids, settings.resign_played_on)
            ends = ends.masked_fill(gives_up & ~goes_on & ~ended, ENDS.index(RESIGN))
        if PROVEN in settings.stop:
            proven = opponent_has_won(self._positions) & ~self._declined_swap & (self._plies > 0)
            ends = ends.masked_fill(proven & ~ended, ENDS.index(PROVEN))
        self._positions = self._positions.retire(ends > 0)
        return ends

    def _records(self, slots: Tensor, ends: Tensor) -> list[GameRecord]:
        """The records of the finished games in these slots (int64 `[K]`)."""
        ended = {
            "ids": self._ids,
            "plies": self._plies,
            "winners": self._positions.winner(),
            "ends": ends,
        }
        size, network = self.settings.board_size, self._network
        return self._log.records(slots, ended, board_size=size, network=network)

    def _start_games(self, slots: Tensor) -> None:
        """Puts the next games into free slots (int64 `[K]`), and drops the slots left over."""
        ids = list(islice(self._next_ids, len(slots)))
        started, spare = slots[: len(ids)], slots[len(ids) :]
        self._declined_swap[started] = False
        fresh = Positions.empty(len(ids), self.settings.board_size, slots.device)
        self._positions = self._positions.put(started, fresh)
        if ids:
            self._play_opening(started, torch.tensor(ids))
        if len(spare):
            self._drop(spare)

    def _play_opening(self, slots: Tensor, ids: Tensor) -> None:
        """Starts new games in slots (int64 `[K]`, K ≥ 1): the random plies.

        Their ids, int64 `[K]`, are on the host, which so knows how many plies that are.
        """
        settings = self.settings
        wanted = random_plies(settings.opening, settings.seed, ids, settings.board_size)
        self._ids[slots] = to_device(ids, self.device)
        self._plies[slots] = to_device(wanted, self.device)
        for ply in range(int(wanted.max())):
            going = slots[to_device((wanted > ply).nonzero()[:, 0], self.device)]
            before = self._positions[going]
            cells = random_cells(settings.seed, self._ids[going], ply, before)
            plies = torch.full_like(going, ply)
            self._log.write_unsearched(going, plies, before.to_board_cells(cells))
            self._positions = self._positions.put(going, before.play(cells))

    def _drop(self, slots: Tensor) -> None:
        stays = torch.ones(len(self), dtype=torch.bool, device=slots.device)
        stays[slots] = False
        kept = stays.nonzero()[:, 0]
        self._positions, self._ids = self._positions[kept], self._ids[kept]
        self._plies, self._declined_swap = self._plies[kept], self._declined_swap[kept]
        self._log.keep(kept)


@contextmanager
def _memory_for(slots: int, settings: SelfPlaySettings) -> Iterator[None]:
    """Says what takes so much memory where it does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        widths = ",".join(map(str, settings.search_widths))
        raise MemoryShortError(
            f"out of memory with {slots} games in flight and search widths {widths}"
        ) from error
