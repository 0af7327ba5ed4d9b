"""Numbers between the host and a device, in as few copies as can be.

A copy to the host makes it wait for all that the device has been given; so does, with memory that
is not pinned, a copy from it.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


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
