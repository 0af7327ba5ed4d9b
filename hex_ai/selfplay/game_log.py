"""What the search has seen of the games under way, kept on their device until a game ends.

Axes: `S` slots, `P` plies at most, `W` candidates, `K` slots or games of a call.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.records import ENDS, NO_CELL, POLICY_ENTRIES, SWAP, GameRecord
from hex_ai.inference.fixed_tree_search import SearchTree
from hex_ai.inference.move_choice import exact_sum, top_moves
from hex_ai.selfplay.settings import SelfPlaySettings

CELL_FIELDS = ("preferred", "candidate_cells", "policy_cells")


class GameLog:
    """One tensor a field of `GameRecord` that has an entry a ply, `[S, P, …]`."""

    def __init__(self, slots: int, settings: SelfPlaySettings, device: torch.device) -> None:
        moves = settings.board_size**2
        plies = moves + 1  # a swap takes a ply but no cell
        candidates = min(settings.search_widths[0], moves)
        entries = min(POLICY_ENTRIES, moves)

        def field(dtype: torch.dtype, *shape: int) -> Tensor:
            try:
                return torch.zeros(slots, plies, *shape, dtype=dtype, device=device)
            except RuntimeError as error:
                raise SettingError(f"{slots} games in flight do not fit into memory") from error

        self.fields = {
            "moves": field(torch.int16),
            "search": field(torch.uint8),
            "values": field(torch.float32),
            "preferred": field(torch.int16),
            "candidate_cells": field(torch.int16, candidates),
            "candidate_priors": field(torch.float32, candidates),
            "candidate_values": field(torch.float32, candidates),
            "policy_cells": field(torch.int16, entries),
            "policy_probabilities": field(torch.float32, entries),
            "policy_rest": field(torch.float32),
        }

    def write_search(
        self, slots: Tensor, plies: Tensor, tree: SearchTree, moves: Tensor, swaps: Tensor
    ) -> None:
        """Keeps a search in these slots (int64 `[K]`), and what was played.

        Args:
          plies: int64 `[K]`, before the move.
          tree: the search.
          moves: int64 `[K]`, as their movers see them; without meaning where `swaps`, bool `[K]`.
        """
        positions, candidates = tree.positions, tree.candidates
        on_board = positions.to_board_cells
        best = top_moves(
            tree.improved_policy, positions.legal_moves(), self.fields["policy_cells"].shape[2]
        )
        shares = tree.improved_policy.gather(1, best)
        used = (shares > 0) & ~swaps[:, None]
        rest = (exact_sum(tree.improved_policy) - exact_sum(shares)).clamp(min=0.0)
        absent = ~candidates.legal
        self._write(
            slots,
            plies,
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

    def write_unsearched(self, slots: Tensor, plies: Tensor, cells: Tensor) -> None:
        """Keeps board cells played without a search at these plies in these slots (int64 `[K]`)."""
        empty = {name: NO_CELL if name in CELL_FIELDS else 0 for name in self.fields}
        self._write(slots, plies, empty | {"moves": cells})

    def values_before(self, plies: Tensor) -> Tensor:
        """float32 `[S]`: the search values of one ply earlier; plies are int64 `[S]`."""
        slots = torch.arange(len(plies), device=plies.device)
        return self.fields["values"][slots, (plies - 1).clamp(min=0)]

    def keep(self, slots: Tensor) -> None:
        """Forgets all slots but these (int64 `[K]`)."""
        self.fields = {name: field[slots] for name, field in self.fields.items()}

    def records(
        self, slots: Tensor, ended: Mapping[str, Tensor], **shared: Any
    ) -> list[GameRecord]:
        """The records of the finished games in these slots (int64 `[K]`).

        Args:
          slots: which games.
          ended: `ids`, `plies`, `winners` and `ends` (indices into `ENDS`) of all slots, `[S]`.
          shared: the fields that are the same for all.
        """
        fields: dict[str, Any] = to_host(
            {k: field[slots] for k, field in (self.fields | dict(ended)).items()}
        )
        games = zip(*(fields.pop(name).tolist() for name in ended), strict=True)
        return [
            GameRecord(
                game_id=game_id,
                winner=winner,
                end=ENDS[end],
                **shared,
                **{name: field[row, :plies].copy() for name, field in fields.items()},
            )
            for row, (game_id, plies, winner, end) in enumerate(games)
        ]

    def _write(self, slots: Tensor, plies: Tensor, entries: Mapping[str, Tensor | int]) -> None:
        """Sets fields of one ply (int64 `[K]`) in each slot (`[K]`) to `[K, …]` or one number."""
        for name, entry in entries.items():
            field = self.fields[name]
            field[slots, plies] = entry if isinstance(entry, int) else entry.to(field.dtype)


def to_host(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors `[K, …]` of whatever types, K ≥ 1, on one device, as arrays.

    By one copy: each makes the host wait for all that the device has been given.
    """
    parts = [tensor.reshape(len(tensor), -1) for tensor in tensors.values()]
    packed = torch.cat([part.view(torch.uint8) for part in parts], 1)
    there = torch.empty(packed.shape, dtype=torch.uint8, pin_memory=packed.is_cuda)
    there.copy_(packed)
    ends = np.cumsum([part.shape[1] * part.element_size() for part in parts])
    columns = np.split(there.numpy(), ends[:-1], axis=1)
    return {
        name: column.view(_numpy_type(tensor)).reshape(tensor.shape)
        for (name, tensor), column in zip(tensors.items(), columns, strict=True)
    }


def to_device(numbers: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device; the host does not wait for the copy."""
    if device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)


def _numpy_type(tensor: Tensor) -> np.dtype:
    kind: np.dtype = tensor.new_empty(0, device="cpu").numpy().dtype
    return kind
