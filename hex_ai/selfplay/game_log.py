"""Numbers between the host and a device, in as few copies as can be.

A copy to the host makes it wait for all that the device has been given; so does, with memory that
is not pinned, a copy from it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.records import POLICY_ENTRIES
from hex_ai.selfplay.settings import SelfPlaySettings


def to_host(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors `[K, …]` of whatever types, K ≥ 1, on one device, as arrays; by one copy."""
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


class GameLog:
    """What has been seen of the games under way: one tensor a field, `[S, P, …]`."""

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

    def write(self, slots: Tensor, plies: Tensor, entries: Mapping[str, Tensor | int]) -> None:
        """Sets the named fields of one ply (int64 `[K]`) in each slot (`[K]`).

        An entry is `[K, …]`, or one number for all.
        """
        for name, entry in entries.items():
            field = self.fields[name]
            field[slots, plies] = entry if isinstance(entry, int) else entry.to(field.dtype)

    def keep(self, slots: Tensor) -> None:
        """Forgets all slots but these (int64 `[K]`)."""
        self.fields = {name: field[slots] for name, field in self.fields.items()}

    def take(self, slots: Tensor, beside: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Copies these slots (int64 `[K]`) to the host: arrays `[K, P, …]`.

        `beside` are more fields, `[S]`, that come along as `[K]`.
        """
        return to_host({name: field[slots] for name, field in (self.fields | beside).items()})
