"""A lane: games that advance in lockstep, one ply a step, through shared request batches.

Axes: `S` slots, each with a game under way; `P` plies at most; `A` moves; `W` candidates; `K`
entries of the improved policy. A finished game's slot gets the next game at once; once there are no
more, the slot goes.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.records import ENDS, NO_CELL, PROVEN, RESIGN, SWAP, GameRecord
from hex_ai.inference.fixed_tree_search import (
    SearchTree,
    build_search_tree_with_collection,
)
from hex_ai.inference.move_choice import exact_sum, top_moves
from hex_ai.inference.position_collector import Collector
from hex_ai.keyed_random import gumbel_noise
from hex_ai.selfplay.game_log import GameLog, to_device
from hex_ai.selfplay.openings import (
    fairest_move,
    random_cells,
    random_plies,
    scheduled_temperature,
)
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.selfplay.stopping import played_on, resigned


class GameBatch:
    """Plays the games with the given ids, at most `slots` at a time.

    Args:
      settings: what decides the games.
      collector: answers the search's requests; its positions live on `device`.
      game_ids: the ids to play, taken as slots become free; may be shared with other lanes.
      slots: games in flight, at least 1.
      network: digest written into the records.
    """

    def __init__(
        self,
        settings: SelfPlaySettings,
        collector: Collector,
        game_ids: Iterator[int],
        slots: int,
        device: torch.device,
        network: str,
    ) -> None:
        self.settings, self.collector, self.network = settings, collector, network
        self.device = device
        self.searches = 0
        self._next_ids = game_ids
        self._log = GameLog(slots, settings, device)
        self._positions = Positions.empty(slots, settings.board_size, device)
        self._ids = torch.zeros(slots, dtype=torch.int64, device=device)
        self._plies = torch.zeros(slots, dtype=torch.int64, device=device)
        self._keeps_seat = torch.zeros(slots, dtype=torch.bool, device=device)
        self._start_games(torch.arange(slots, device=device))

    def __len__(self) -> int:
        """Games under way."""
        return len(self._ids)

    def place(self, positions: Positions, plies: Tensor) -> None:
        """Puts other unfinished positions (`S`) and their plies (int64 `[S]`) into the slots.

        The records of these games lack what came before: it is for measuring at mixed plies.
        """
        self._positions, self._plies = positions, plies

    @torch.no_grad()
    def step(self) -> list[GameRecord]:
        """Moves once in every game; returns the games that ended with it.

        At the second ply under the pie rule a step first only decides whether Blue swaps, at
        temperature 0; where Blue does not, the move comes with the next step.
        """
        asks_swap = (self._plies == 1) & self.settings.swap & ~self._keeps_seat
        tree = self._search(asks_swap)
        swaps = asks_swap & (tree.values < 0)
        self._keeps_seat = asks_swap & ~swaps
        moves = self._choose(tree)
        self._log_ply(tree, moves, swaps)
        self._positions = Positions.where(
            asks_swap, self._positions.swap(swaps), self._positions.play(moves)
        )
        how = self._stop(tree.values)
        self._plies = self._plies + (~self._keeps_seat)
        self.searches += len(self)
        ended = self._positions.finished.nonzero()[:, 0]
        if not len(ended):
            return []
        games = self._records(ended, how)
        self._start_games(ended)
        return games

    def _stop(self, values: Tensor) -> Tensor:
        """Ends games as the stop rules have it; int64 `[S]`, index into `ENDS` of each ended one.

        The values, float32 `[S]`, are those of the search that has just moved.
        """
        settings, how = self.settings, torch.zeros_like(self._plies)
        ended = self._positions.finished
        if RESIGN in settings.stop:
            slots = torch.arange(len(self), device=self.device)
            before = self._log.fields["values"][slots, (self._plies - 1).clamp(min=0)]
            gives_up = resigned(values, before, self._plies, settings.resign_threshold)
            goes_on = played_on(settings.seed, self._ids, settings.resign_played_on)
            how = how.masked_fill(gives_up & ~goes_on & ~ended, ENDS.index(RESIGN))
        if PROVEN in settings.stop:
            proven = opponent_has_won(self._positions) & ~self._keeps_seat & (self._plies > 0)
            how = how.masked_fill(proven & ~ended, ENDS.index(PROVEN))
        self._positions = self._positions.retire(how > 0)
        return how

    def _search(self, asks_swap: Tensor) -> SearchTree:
        settings = self.settings
        if settings.temperature is None:
            heat = scheduled_temperature(self._plies, settings.board_size)
        else:
            heat = torch.full_like(self._plies, settings.temperature, dtype=torch.float64)
        weight = torch.full_like(heat, settings.value_weight)
        if settings.opening == "policy":
            heat = heat.masked_fill(self._plies == 0, 1.0)
            weight = weight.masked_fill(self._plies == 0, 0.0)
        noise = gumbel_noise(settings.seed, self._ids, self._plies, self._positions.moves)
        return build_search_tree_with_collection(
            self._positions,
            settings.search_widths,
            heat.masked_fill(asks_swap, 0.0),
            self.collector,
            noise=noise,
            value_weight=weight,
        )

    def _choose(self, tree: SearchTree) -> Tensor:
        """int64 `[S]`: the moves to play, as their movers see them."""
        if self.settings.opening == "empty" and self.settings.swap:
            fair = fairest_move(tree.candidates, tree.q)
            return torch.where(self._plies == 0, fair, tree.chosen)
        return tree.chosen

    def _log_ply(self, tree: SearchTree, moves: Tensor, swaps: Tensor) -> None:
        candidates, on_board = tree.candidates, self._positions.to_board_cells
        entries = self._log.fields["policy_cells"].shape[2]
        best = top_moves(tree.improved_policy, self._positions.legal_moves(), entries)
        shares = tree.improved_policy.gather(1, best)
        used = (shares > 0) & ~swaps[:, None]
        rest = (exact_sum(tree.improved_policy) - exact_sum(shares)).clamp(min=0.0)
        absent = ~candidates.legal
        self._log.write(
            torch.arange(len(self), device=moves.device),
            self._plies,
            {
                "moves": on_board(moves).masked_fill(swaps, SWAP),
                "search": torch.ones_like(moves),
                "values": tree.values,
                "preferred": on_board(tree.preferred),
                "candidate_cells": on_board(candidates.cells).masked_fill(absent, NO_CELL),
                "candidate_priors": candidates.log_priors.exp(),
                "candidate_values": tree.q.masked_fill(absent, 0.0),
                "policy_cells": on_board(best).masked_fill(~used, NO_CELL),
                "policy_probabilities": shares.masked_fill(~used, 0.0),
                "policy_rest": rest.masked_fill(swaps, 0.0),
            },
        )

    def _records(self, slots: Tensor, how: Tensor) -> list[GameRecord]:
        """The records of the finished games in these slots (int64 `[K]`); `how` is of all slots."""
        ended = {
            "ids": self._ids,
            "plies": self._plies,
            "winners": self._positions.winner(),
            "ends": how,
        }
        fields = self._log.take(slots, ended)
        games = zip(*(fields.pop(name).tolist() for name in ended), strict=True)
        return [
            GameRecord(
                game_id=game_id,
                board_size=self.settings.board_size,
                winner=winner,
                end=ENDS[end],
                network=self.network,
                **{name: field[row, :plies].copy() for name, field in fields.items()},
            )
            for row, (game_id, plies, winner, end) in enumerate(games)
        ]

    def _start_games(self, slots: Tensor) -> None:
        """Puts the next games into free slots (int64 `[K]`), and drops the slots left over."""
        ids = list(islice(self._next_ids, len(slots)))
        started, spare = slots[: len(ids)], slots[len(ids) :]
        self._keeps_seat[started] = False
        fresh = Positions.empty(len(ids), self.settings.board_size, slots.device)
        self._positions = self._positions.put(started, fresh)
        if ids:
            self._play_opening(started, torch.tensor(ids))
        if len(spare):
            self._drop(spare)

    def _play_opening(self, slots: Tensor, ids: Tensor) -> None:
        """Starts new games in slots (int64 `[K]`, K ≥ 1): plays and logs the plies nobody chooses.

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
            self._log_random(going, ply, before.to_board_cells(cells))
            self._positions = self._positions.put(going, before.play(cells))

    def _log_random(self, slots: Tensor, ply: int, cells: Tensor) -> None:
        """Logs board cells played without a search; the other fields of that ply are empty."""
        cell_rows = ("preferred", "candidate_cells", "policy_cells")
        empty = {name: NO_CELL if name in cell_rows else 0 for name in self._log.fields}
        self._log.write(slots, torch.full_like(slots, ply), empty | {"moves": cells})

    def _drop(self, slots: Tensor) -> None:
        stays = torch.ones(len(self), dtype=torch.bool, device=slots.device)
        stays[slots] = False
        kept = stays.nonzero()[:, 0]
        self._positions, self._ids = self._positions[kept], self._ids[kept]
        self._plies, self._keeps_seat = self._plies[kept], self._keeps_seat[kept]
        self._log.keep(kept)
