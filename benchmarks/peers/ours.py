"""hex_ai itself, measured in the modes of its own benchmark."""

import copy
from functools import lru_cache
from typing import Any

from common import Setup, Variant, make_network

from hex_ai.bench.modes import BenchSettings, SteadyRuns
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference

# The first is what the others are compared with: it evaluates every position anew, as they do.
MODES = ("cross-game", "full", "individual", "plan-style")


def settings_of(setup: Setup) -> BenchSettings:
    """The same setup as our benchmark takes it; refuses what hex_ai refuses."""
    return BenchSettings(
        board_size=setup.board_size,
        search_widths=setup.search_widths,
        modes=MODES,
        seconds=setup.seconds,
        games_in_flight=setup.games_in_flight,
    )


def prepare(setup: Setup) -> dict[str, Any]:
    """Compiles, calibrates or converts the network, as its plan wants."""
    return {"plan": prepared_plan(setup).to_json()}


def variants(setup: Setup) -> list[Variant]:
    """Every mode, with the runtime and precision of its network."""
    plan = prepared_plan(setup)
    as_planned = f"{plan.runtime} {plan.precision}"
    return [
        (f"hex_ai {mode}", "eager float32" if mode == "plan-style" else as_planned)
        for mode in MODES
    ]


def rates(setup: Setup, variant: Variant) -> tuple[float, float]:
    """Moves and evaluations a second of one run from mid-game on."""
    run = steady_runs(setup).measure(variant[0].removeprefix("hex_ai "))
    return run["searched_moves"] / run["seconds"], run["evaluations"] / run["seconds"]


@lru_cache
def prepared_plan(setup: Setup) -> InferencePlan:
    """The plan as the preparation has settled it."""
    inference = ModelInference(copy.deepcopy(make_network(setup)), setup.plan)
    return inference.prepare(setup.board_size)


@lru_cache
def steady_runs(setup: Setup) -> SteadyRuns:
    """The runs of this process, all with one network."""
    return SteadyRuns(make_network(setup), prepared_plan(setup), settings_of(setup))
