"""hex_ai itself, measured by its own benchmark."""

from typing import Any

from common import Rates, Setup, make_network

from hex_ai.bench.measure import run_bench
from hex_ai.bench.modes import BenchSettings

MODES = ("full", "cross-game", "individual", "plan-style")


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
    """The inference plan; compiling happens in `run_bench`, before its clock starts."""
    return {"plan": setup.plan.to_json()}


def measure(setup: Setup) -> Rates:
    """One run of every mode."""
    modes = run_bench(make_network(setup), setup.plan, settings_of(setup))["modes"]
    return {
        (f"hex_ai {mode}", ""): (modes[mode]["moves_per_s"], modes[mode]["evaluations_per_s"])
        for mode in MODES
    }
