"""Networks: what every network is to the rest of hex_ai, and the one we ship.

A network is any `torch.nn.Module` registered under a name with `register_architecture`. It maps
planes to a policy and a value:

    planes         floating point `[B, 2, N + 2, N + 2]`, see `Positions.planes`
    policy_logits  floating point `[B, N * N]`, raw and unmasked, cells as the mover sees them
    values         floating point `[B]` in [-1, 1], the mover's view

and is made from a frozen dataclass of plain numbers, its config.

What a network says of a position should not depend on the colour of the mover. One that was trained
on boards as they lie may say `sees_colours = True` and then gets a third plane, all 1 where Blue is
to move. Its evaluations are kept apart by that.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hex_ai.errors import SettingError
from hex_ai.network.torch_state import float32_made

ConfigClass = type[Any]
Module = Callable[[Any], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """A kind of network: its name, the dataclass of its settings, and how it is built."""

    name: str
    config_class: ConfigClass
    build: Module

    def network(self, config: dict[str, Any]) -> nn.Module:
        """An untrained network with these settings.

        Raises:
          SettingError: settings that the config class refuses or does not know.
        """
        known = {field.name for field in fields(self.config_class)}
        if set(config) - known:
            raise SettingError(f"{self.name} has no setting {sorted(set(config) - known)[0]!r}")
        try:
            with float32_made():
                return self.build(self.config_class(**config))
        except TypeError as error:
            raise SettingError(f"settings of {self.name}: {error}") from error

    def completed(self, config: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
        """The settings and notes of a file, by `completed` of the config class if it has that: it
        says what a file means that was written before one of the settings was there."""
        complete = getattr(self.config_class, "completed", None)
        return config if complete is None else cast(dict[str, Any], complete(config, training))


# Metadata of a field that older files do not name.
ADDED_LATER = {"added_later": True}

# What holds a network as its only part, `module`. Whatever `torch.compile` gives holds `_orig_mod`.
_HOLDERS = (AveragedModel, nn.DataParallel, nn.parallel.DistributedDataParallel)

# The group of entry points by which installed packages register architectures.
ENTRY_POINTS = "hex_ai.architectures"

_ARCHITECTURES: dict[str, Architecture] = {}


def register_architecture(name: str, config_class: ConfigClass) -> Callable[[Module], Module]:
    """Class decorator that lets checkpoints of this architecture be saved and loaded by name.

    The class takes the config as its only argument and keeps it as `self.config`. The commands find
    the class if its module is named by an installed package as an entry point of the group
    `hex_ai.architectures`, or by `--architecture-module`.
    """

    def register(build: Module) -> Module:
        _ARCHITECTURES[name] = Architecture(name, config_class, build)
        return build

    return register


def architecture(name: str) -> Architecture:
    """The architecture registered under this name, entry points included.

    Raises:
      SettingError: there is none, and the message lists those there are; or an entry point fails.
    """
    if name not in _ARCHITECTURES:
        _load_entry_points()
    if name not in _ARCHITECTURES:
        raise SettingError(f"no architecture {name!r}; known: {', '.join(known_architectures())}")
    return _ARCHITECTURES[name]


def known_architectures() -> list[str]:
    """The names registered so far, in alphabetical order."""
    return sorted(_ARCHITECTURES)


def load_architecture_module(path: str | os.PathLike[str]) -> None:
    """Runs a Python file that registers architectures.

    Raises:
      SettingError: the file cannot be run, or registers nothing.
    """
    name = f"hex_ai_architecture_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise SettingError(f"{os.fspath(path)}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    before = list(_ARCHITECTURES.values())
    with _failure_named(os.fspath(path)):
        spec.loader.exec_module(module)
    if all(any(known is old for old in before) for known in _ARCHITECTURES.values()):
        raise SettingError(f"{os.fspath(path)}: registers no architecture")


def _load_entry_points() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        with _failure_named(f"entry point {entry.name} ({entry.value})"):
            entry.load()


@contextmanager
def _failure_named(what: str) -> Iterator[None]:
    """Code of others may fail with anything; it is told in one line that names the code."""
    try:
        yield
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise SettingError(f"{what}: {type(error).__name__}: {reason}") from error


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, where `torch.compile`, a running average or a parallel one holds it."""
    while True:
        held = network._modules.get("_orig_mod")
        if held is None and isinstance(network, _HOLDERS):
            held = network.module
        if held is None:
            return network
        network = held


def uncompiled(network: nn.Module) -> nn.Module:
    """The network itself, whose parts are compiled no more; changes it in place.

    How a network is run is the inference plan's to say.
    """
    network = unwrapped(network)
    for module in list(network.modules()):
        for name, part in module.named_children():
            module._modules[name] = unwrapped(part)
        if module._compiled_call_impl is not None:
            module._compiled_call_impl = None
    return network


def architecture_of(network: nn.Module) -> Architecture:
    """The architecture whose class this network is, wrapped or not.

    Raises:
      SettingError: its class was never registered.
    """
    network = unwrapped(network)
    for candidate in _ARCHITECTURES.values():
        if type(network) is candidate.build:
            return candidate
    raise SettingError(f"{type(network).__name__} is not a registered architecture")


def config_of(network: nn.Module) -> dict[str, Any]:
    """The settings that `network` was made from, as plain numbers.

    A field with the metadata `ADDED_LATER` is left out where it has its default: networks from
    before it was there keep their digests.
    """
    config = cast(Any, unwrapped(network).config)
    early = {f.name: f.default for f in fields(config) if f.metadata == ADDED_LATER}
    named = asdict(config)
    return {k: value for k, value in named.items() if k not in early or value != early[k]}


def sees_colours(network: nn.Module) -> bool:
    """Whether a network wants the plane that says who is to move."""
    return bool(getattr(network, "sees_colours", False))


def with_colours(planes: Tensor, blue_to_move: Tensor) -> Tensor:
    """Planes `[B, 2, N + 2, N + 2]` and a third one, all 1 where `blue_to_move` (bool `[B]`)."""
    blue = blue_to_move[:, None, None, None].to(planes.dtype)
    return torch.cat((planes, blue.expand(-1, 1, *planes.shape[2:])), 1)


def parameter_count(network: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def for_inference(network: nn.Module) -> nn.Module:
    """The same function for evaluation only: evaluation mode, batch norms folded if it knows how.

    A network folds by a method `fold_norms()` that changes it in place; those without are used
    as they are.
    """
    network = network.eval().requires_grad_(False)
    fold = getattr(network, "fold_norms", None)
    if fold is not None:
        fold()
    return network


def heads_of(network: nn.Module) -> tuple[str, ...]:
    """The submodules that a network names in `heads`, the small layers at its ends; none by
    default."""
    return tuple(getattr(network, "heads", ()))


def in_precision(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Gives a network this precision, in place; what it names in `heads` keeps float32.

    The heads are the small layers at its ends. A bfloat16 has too few digits for their answers:
    moves and values would tie that are not equal.
    """
    names = heads_of(network)
    heads = {part for name in names for part in network.get_submodule(name).modules()}
    for module in network.modules():
        if module not in heads:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
    return network
