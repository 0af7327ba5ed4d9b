"""Counts what would make the host wait for a device, and finds what mixes devices."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten

# What makes the host wait: a number taken out, or a result whose size depends on numbers.
READS = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten.is_nonzero,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.repeat_interleave.Tensor,
}


class ReadCounter(TorchDispatchMode):
    """Counts reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.reads += masks or func in READS or func.overloadpacket in READS
        return func(*args, **(kwargs or {}))


class CopyCounter(TorchFunctionMode):
    """Counts tensors made of numbers of the host: a copy to a GPU, for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.copies += func in (torch.tensor, torch.as_tensor, torch.from_numpy)
        return func(*args, **(kwargs or {}))


class OneDevice(TorchDispatchMode):
    """Raises where an operation meets a tensor of another device, be it an index or a source.

    A GPU takes an index that lives on the CPU, and copies it there, while the host waits.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        strange = {tensor.device.type for tensor in tensors} - {self.device}
        if strange:
            raise AssertionError(f"{func} meets a tensor on {strange}, not {self.device}")
        return func(*args, **(kwargs or {}))
