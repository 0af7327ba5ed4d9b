"""`serve_htp`: an engine from a checkpoint that answers until it is told to quit."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from hex_ai.htp.asker import Asker, standard_input
from hex_ai.htp.engine import HtpEngine
from hex_ai.htp.openings import opening_values
from hex_ai.htp.protocol import Session
from hex_ai.htp.settings import HtpSettings
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.inference_plan import prompt_runtime, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.tuning import plan_for
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.numbers import whole
from hex_ai.puct.search import make_ready

# Enough for the searches of a game; a small table is quickly there.
CACHE_SIZE = 2**15


def serve_htp(
    model: Path | None = None,
    *,
    widths: Sequence[int] = (8, 4),
    seconds: float | None = None,
    level: int | None = None,
    swap: str = "pieces",
    board_size: int = 11,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    lines: Iterable[str] | None = None,
    write: Callable[[str], object] | None = None,
) -> None:
    """Answers lines of the Hex Text Protocol until `quit` or their end.

    Args:
      model: checkpoint, by default the shipped one.
      widths, seconds, level, swap: see `HtpSettings`.
      board_size: 1 to 19, until `boardsize` says another.
      device, precision: `auto` or a name; see `plan_for`.
      runtime: a name, or `auto`: what starts quickly, see `prompt_runtime`.
      lines: requests, by default those of standard input. Where they come by an `Asker`, as by
        default, `# interrupt` ends a search.
      write: takes each reply, by default to standard output.

    Raises:
      SettingError: an invalid setting.
      CheckpointError: an unusable checkpoint.
    """
    settings = HtpSettings(check_widths(widths), seconds, swap, level)
    board_size = whole("board size", board_size)
    checkpoint = load_checkpoint(model or default_model_path())
    network = checkpoint.network
    if runtime == "auto":
        runtime = prompt_runtime(resolve_device(device))
    plan = plan_for(network, device, runtime, precision)
    inference = ModelInference(network, plan, cache_size=CACHE_SIZE)
    lines = Asker(standard_input()) if lines is None else lines
    interrupted = lines.interrupted if isinstance(lines, Asker) else lambda: False
    openings = opening_values(checkpoint.digest)
    engine = HtpEngine(inference, inference.device, settings, board_size, interrupted, openings)
    if inference.plan.runtime == "compiled":
        # Better now than on the clock of the first move; what runs eager need not wait.
        inference.prepare(board_size)
    if not (settings.seconds is None and settings.level is None):
        make_ready(inference.device)
    # That the asker has gone is no error.
    with suppress(BrokenPipeError):
        Session(engine.commands).serve(lines, write or _send)


def _send(reply: str) -> None:
    """Writes a reply at once: the asker waits for it."""
    sys.stdout.write(reply)
    sys.stdout.flush()
