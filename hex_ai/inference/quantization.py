"""Networks whose convolutions multiply whole numbers of 8 bits.

What a layer gives is scaled so that nearly all of it fits into 8 bits. How large it gets is seen on
positions of games that the network plays against itself. The first layer and the heads keep
float32: they are small, and their errors go straight into the answers.

Only this file imports NNCF, which does the rest.
"""

import contextlib
import importlib.util
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hex_ai.errors import ConversionError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.kept_apart import in_a_thread, telemetry_hidden
from hex_ai.keyed_random import gumbel_noise, random_bits
from hex_ai.network.architecture import with_colours

# Games by the policy alone at temperature 1, and positions of theirs.
GAMES, POSITIONS, SEED = 16, 320, 0

# Positions at a time.
BATCH = 32

# An int8 network whose values are further from those of float32 than this, as a root of the mean
# square, is not used.
MOST_VALUE_ERROR = 0.1

Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]


def calibration_planes(evaluate: Evaluate, shape: Sequence[int]) -> Tensor:
    """What a network sees of positions of its own games.

    Args:
      evaluate: from planes to policy logits and values.
      shape: `[C, N + 2, N + 2]` of the planes of one position.

    Returns:
      float32 `[POSITIONS, C, N + 2, N + 2]`, drawn from all plies of `GAMES` games; fewer where so
      many are not there.
    """
    size, game_ids = shape[-1] - 2, torch.arange(GAMES)
    positions = Positions.empty(GAMES, size, torch.device("cpu"))
    seen: list[Tensor] = []
    while len(positions):
        planes = positions.planes(torch.float32)
        if shape[0] == 3:
            planes = with_colours(planes, positions.blue_to_move)
        seen.append(planes)
        logits = evaluate(planes)[0].double()
        plies = torch.full_like(game_ids, len(seen))
        # The first move is any, as in self-play.
        scores = gumbel_noise(SEED, game_ids, plies, size**2) + (logits if len(seen) > 1 else 0)
        moves = scores.masked_fill(~positions.legal_moves(), -torch.inf).argmax(1)
        positions = positions.play(moves)
        going_on = ~positions.finished
        positions, game_ids = positions[going_on], game_ids[going_on]
    every = torch.cat(seen)
    return every[random_bits(SEED, torch.arange(len(every))).argsort()[:POSITIONS]]


def has_nncf() -> bool:
    """Whether NNCF is installed."""
    return importlib.util.find_spec("nncf") is not None


def require_nncf() -> None:
    """Raises `SettingError` unless NNCF is installed."""
    if not has_nncf():
        raise SettingError("precision 'int8' wants NNCF: pip install 'hex_ai[openvino]'")


def require_close(float32: Evaluate, int8: Evaluate, planes: Tensor) -> None:
    """Raises `ConversionError` where an int8 network's values are not those of the original."""
    gaps = (float32(planes)[1] - int8(planes)[1]).square().mean().sqrt()
    if not gaps <= MOST_VALUE_ERROR:
        raise ConversionError(f"values in int8 are off by {float(gaps):.2f}")


def quantized(model: Any, planes: Tensor, heads: Sequence[str]) -> Any:
    """An OpenVINO model with int8 convolutions where they do not cost accuracy.

    Args:
      model: of floating point.
      planes: float32 `[B, C, N + 2, N + 2]`, what it is calibrated on.
      heads: parts of the network that stay as they are.
    """
    nncf = _nncf()
    batches = [planes[start : start + BATCH].numpy() for start in range(0, len(planes), BATCH)]
    ends = [f"__module.{name}(/|\\.).*" for name in heads]
    ignored = nncf.IgnoredScope(
        names=[_first_convolution(model)], patterns=["hex_ai::.*", *ends], validate=False
    )
    quantize = partial(
        nncf.quantize,
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=ignored,
        advanced_parameters=_parameters(nncf),
    )
    with _quiet():
        return in_a_thread(quantize)


def _parameters(nncf: Any) -> Any:
    """What makes the answers the best: docs/log.md.

    The correction of biases makes them ten times worse, and the mean of the ranges of batches,
    which is NNCF's own choice, cuts off what is largest and shifts the values.
    """
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return nncf.AdvancedQuantizationParameters(
        disable_bias_correction=True,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        overflow_fix=nncf.OverflowFix.DISABLE,
    )


def _first_convolution(model: Any) -> str:
    convolutions = (op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution")
    return str(next(convolutions).get_friendly_name())


def _nncf() -> Any:
    """NNCF, which otherwise greets on standard output and changes the class of loggers."""
    kind = logging.getLoggerClass()
    try:
        with telemetry_hidden(), contextlib.redirect_stdout(io.StringIO()):
            import nncf
    finally:
        logging.setLoggerClass(kind)
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the progress bars of NNCF, which it has no switch for, off the terminal."""
    from rich import get_console

    console = get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
