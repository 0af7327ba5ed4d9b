"""Measures which plan runs a network fastest on a machine, and remembers it: `hex-ai tune`.

A plan is remembered for a processor, a device, a number of threads, a version of torch and a shape
of network. A run takes the remembered plan, or the default one, when it starts, and keeps to it.
"""

import copy
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hex_ai.atomic_files import atomic_file
from hex_ai.errors import SettingError, StoreError
from hex_ai.inference.inference_plan import (
    OPENVINO,
    InferencePlan,
    default_plan,
    device_name,
    has_compiler,
    multiplies_bfloat16,
    resolve_device,
)
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.openvino_network import has_openvino
from hex_ai.inference.probe import probe_positions
from hex_ai.inference.quantization import has_nncf
from hex_ai.inference.user_cache import user_cache
from hex_ai.network.architecture import architecture_of, config_of

log = logging.getLogger(__name__)

# Batch sizes tried. From 16 rows on one compilation serves them all on a CPU.
SIZES = {"cpu": (16, 32, 64, 128, 256, 512), "cuda": (256, 512, 1024, 2048, 4096, 8192, 16384)}

# A larger batch must be faster by more than this share to be worth its padding.
MIN_GAIN = 0.02

Rates = dict[int, float]


@dataclass(frozen=True)
class Tuned:
    """The best plan, and rows a second by batch size for each (runtime, precision) tried."""

    plan: InferencePlan
    rates: dict[tuple[str, str], Rates]


def tune(
    network: nn.Module,
    device: torch.device,
    board_size: int,
    seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """Measures the bare network under every runtime and precision that this machine has.

    Args:
      network: it is copied.
      device: where it will run.
      board_size: N of the positions it is measured on.
      seconds: for each batch size of each runtime and precision.
      tell: is called with the runtime and precision that are measured next.
    """

    def prepared(runtime: str, precision: str, shapes: Sequence[int]) -> ModelInference:
        plan = default_plan(device, runtime, precision)
        if plan.pads:
            plan = plan.with_shapes(tuple(shapes))
        inference = ModelInference(copy.deepcopy(network), plan)
        inference.prepare(board_size)
        return inference

    rates: dict[tuple[str, str], Rates] = {}
    for runtime, precision in _candidates(device):
        tell(f"{runtime} {precision}")
        inference = prepared(runtime, precision, SIZES[device.type])
        kind = inference.plan.runtime, precision
        if kind not in rates:
            rates[kind] = _rates(inference, board_size, seconds)
    best = max(rates, key=lambda kind: max(rates[kind].values()))
    return Tuned(prepared(*best, _shapes_worth_padding(rates[best])).plan, rates)


def _candidates(device: torch.device) -> list[tuple[str, str]]:
    """The runtimes that there are, each with its precisions."""
    precisions = ["float32"] + ["bfloat16"] * multiplies_bfloat16(device)
    runtimes = ["eager" if device.type == "cpu" else "graph"] + ["compiled"] * has_compiler()
    found = list(itertools.product(runtimes, precisions))
    if device.type == "cpu" and has_openvino():
        found += [(OPENVINO, name) for name in precisions + ["int8"] * has_nncf()]
    return found


def plan_for(network: nn.Module, device: str, runtime: str, precision: str) -> InferencePlan:
    """The plan remembered for this network and machine if it is as asked for, else the default.

    Args:
      network: as loaded; only its architecture and config matter.
      device, runtime, precision: as on the command line, `auto` for whatever is best.
    """
    place = resolve_device(device)
    plan = remembered_plan(network, place)
    if plan and runtime in ("auto", plan.runtime) and precision in ("auto", plan.precision):
        return plan.on(place)
    return default_plan(place, runtime, precision)


def plan_for_games(network: nn.Module, device: str, runtime: str, precision: str) -> InferencePlan:
    """The plan for self-play: like `plan_for`, but int8 where it runs and nothing else was chosen.

    Its games are as strong as those of float32: docs/runtimes.md.
    """
    plan = plan_for(network, device, runtime, precision)
    if precision != "auto" or plan.runtime != OPENVINO or not has_nncf():
        return plan
    if remembered_plan(network, resolve_device(device)) is not None:
        return plan
    return replace(plan, precision="int8")


def remember(network: nn.Module, device: torch.device, tuned: Tuned) -> Path:
    """Writes the plan where `remembered_plan` finds it; returns the file.

    Raises:
      StoreError: it cannot be written.
    """
    machine = _machine(network, device)
    path = _path(machine)
    rates = {" ".join(kind): sizes for kind, sizes in tuned.rates.items()}
    data = {"machine": machine, "plan": tuned.plan.to_json(), "rows_per_second": rates}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(json.dumps(data, indent=2).encode())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return path


def remembered_plan(network: nn.Module, device: torch.device) -> InferencePlan | None:
    """The plan that `remember` wrote for this network on this machine, if there is one."""
    machine = _machine(network, device)
    try:
        path = _path(machine)
        data = json.loads(path.read_bytes())
        plan = InferencePlan.from_json(data["plan"])
        known = data["machine"] == machine and plan.is_current
        if (plan.device, plan.threads) != (machine["device"], machine["threads"]):
            raise SettingError(f"a plan for {plan.threads} threads and {plan.device}")
    except (FileNotFoundError, StoreError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SettingError) as error:
        log.warning("%s: not a remembered plan, going on without: %s", path, error)
        return None
    # Other weights of the same architecture are calibrated by themselves.
    return replace(plan, calibration="") if known else None


def _rates(inference: ModelInference, board_size: int, seconds: float) -> Rates:
    rates, sizes = {}, SIZES[inference.device.type]
    planes = inference.planes(probe_positions(sizes[-1], board_size, inference.device))
    for size in sizes:
        try:
            rates[size] = inference.rows_per_second(planes[:size], seconds)
        except torch.OutOfMemoryError:
            break
    return rates


def _shapes_worth_padding(rates: Mapping[int, float]) -> tuple[int, ...]:
    """The batch sizes up to the first that is as fast as any, or nearly so."""
    best = max(rates.values())
    largest = next(size for size, rate in rates.items() if rate >= (1 - MIN_GAIN) * best)
    return tuple(size for size in rates if size <= largest)


def _machine(network: nn.Module, device: torch.device) -> dict[str, Any]:
    """What a plan is remembered for, as plain JSON."""
    return {
        "processor": device_name(device),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch_version": str(torch.__version__),
        "architecture": architecture_of(network).name,
        "config": config_of(network),
    }


def _path(machine: dict[str, Any]) -> Path:
    """A file of its own for each machine."""
    key = hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:16]
    return user_cache() / f"plan-{key}.json"
