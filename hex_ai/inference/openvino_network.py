"""The `openvino` runtime: networks in the form of OpenVINO, run by threads that do not wait for one
another.

A batch is cut into pieces, and each piece is evaluated by one thread from its planes to its answer.
A thread that another program keeps from running delays its own piece alone, while the others take
the pieces that are left. A row has the same bits in a piece of any size, so nothing is padded.

Only this file imports OpenVINO.
"""

import copy
import hashlib
import importlib.util
import math
import warnings
from collections import deque
from collections.abc import Sequence
from functools import cache, partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hex_ai.errors import ConversionError, SettingError
from hex_ai.inference.kept_apart import in_a_thread, telemetry_hidden
from hex_ai.inference.kept_conversions import kept_conversion
from hex_ai.inference.probe import probe_positions
from hex_ai.inference.quantization import (
    calibration_planes,
    quantized,
    require_close,
    require_nncf,
)
from hex_ai.network.architecture import heads_of, with_colours
from hex_ai.network.paths import DistancePlanes, fill_distance_planes

# The most rows of a piece. Their features stay in a processor's own cache.
PIECE = 32

# Pieces under way or waiting for each thread, so that none is idle while answers are copied.
PIECES_A_THREAD = 4

# Positions on which a converted network is compared with the original, and how far apart they may
# be: their sums are in another order.
COMPARED, TOLERANCE = 64, 1e-3

# Of the operation that stands for `DistancePlanes`.
OWN_OPERATION = "hex_ai::DistancePlanes"


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def openvino_version() -> str:
    """The version of OpenVINO, as packages tell it.

    Raises:
      SettingError: it is not installed.
    """
    if not has_openvino():
        raise SettingError("runtime 'openvino' wants OpenVINO: pip install 'hex_ai[openvino]'")
    return version("openvino")


@cache
def _core() -> Any:
    """OpenVINO's, one for the process, with its plugin for processors loaded, and our operation."""
    from openvino import Core

    core = Core()
    in_a_thread(partial(core.get_property, "CPU", "FULL_DEVICE_NAME"))
    core.add_extension(_distance_operation())
    return core


class OpenvinoForward:
    """Calls a converted network on batches of any number of rows.

    Args:
      network: as for inference, float32, on the CPU. It is converted for each size of boards at the
        first batch of that size.
      precision: `float32`, `bfloat16` or `int8`; see `hex_ai.inference.quantization`.
      threads: that evaluate pieces at the same time.

    Attributes:
      calibration: digest of the int8 network of the last size, otherwise empty.

    Raises:
      SettingError: NNCF, which int8 wants, is not installed.
    """

    def __init__(self, network: nn.Module, precision: str, threads: int) -> None:
        with telemetry_hidden():
            importlib.import_module("openvino")
        if precision == "int8":
            require_nncf()
        self._network, self._precision, self._threads = network, precision, threads
        self._models: dict[torch.Size, _Model] = {}
        self.calibration = ""

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """What the network gives for float32 planes `[B, C, N + 2, N + 2]`: logits, values."""
        shape = planes.shape[1:]
        if shape not in self._models:
            self._models[shape] = self._model(shape)
        return self._models[shape](planes)

    def _model(self, shape: torch.Size) -> "_Model":
        kept = kept_conversion(self._network, shape, self._precision)
        content = kept.read()
        if content is None:
            with TemporaryDirectory() as folder:
                content = _written(self._converted(shape), Path(folder))
            kept.write(content)
        if self._precision == "int8":  # the ranges of its layers lie among the weights
            self.calibration = hashlib.sha256(content["weights"]).hexdigest()[:16]
        return _Model(_read(content), self._precision, self._threads)

    def _converted(self, shape: torch.Size) -> Any:
        model = converted(self._network, shape)
        float32 = _Model(model.clone(), "float32", self._threads)
        _require_same(self._network, float32, _probe_planes(shape))
        if self._precision != "int8":
            return model
        planes = calibration_planes(float32, shape)
        in_8_bits = quantized(model, planes, heads_of(self._network))
        require_close(float32, _Model(in_8_bits, self._precision, self._threads), planes)
        return in_8_bits


class _Model:
    """A model of one size of boards, compiled, and the requests that it answers at a time."""

    def __init__(self, model: Any, precision: str, threads: int) -> None:
        # Unless it is told, OpenVINO takes bfloat16 for float32 where the processor has it.
        properties = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = _core().compile_model(model, "CPU", properties)
        self._threads = threads
        self._requests = [compiled.create_infer_request() for _ in range(PIECES_A_THREAD * threads)]

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        from openvino import Tensor as Input

        requests, rows = self._requests, np.ascontiguousarray(planes.float().numpy())
        answers: list[tuple[Tensor, ...]] = []
        waiting: deque[Any] = deque()
        try:
            for k, piece in enumerate(_pieces(len(rows), self._threads)):
                if len(waiting) == len(requests):
                    answers.append(_answer(waiting[0]))
                    waiting.popleft()
                request = requests[k % len(requests)]
                request.set_input_tensor(Input(rows[piece], shared_memory=True))
                request.start_async()
                waiting.append(request)
            while waiting:
                answers.append(_answer(waiting[0]))
                waiting.popleft()
        finally:  # whatever interrupts this leaves no request under way
            for request in waiting:
                request.wait()
        logits, values = (torch.cat(part) for part in zip(*answers, strict=True))
        return logits, values


def _written(model: Any, folder: Path) -> dict[str, bytes]:
    """A model as OpenVINO writes it: its description and its weights."""
    from openvino import save_model

    save_model(model, folder / "network.xml", compress_to_fp16=False)
    names = {"model": "network.xml", "weights": "network.bin"}
    return {kind: (folder / name).read_bytes() for kind, name in names.items()}


def _read(content: dict[str, bytes]) -> Any:
    from openvino import Tensor as Weights

    weights = np.frombuffer(content["weights"], np.uint8)
    return _core().read_model(content["model"], Weights(weights, shared_memory=False))


def _pieces(rows: int, threads: int) -> list[slice]:
    """Cuts rows into pieces of nearly equal size, at most `PIECE`, where possible one a thread."""
    pieces = max(math.ceil(rows / PIECE), min(rows, threads))
    pieces = min(math.ceil(pieces / threads) * threads, rows)
    bounds = [rows * k // pieces for k in range(pieces + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def _answer(request: Any) -> tuple[Tensor, ...]:
    """Waits for a request; its own memory is that of its next answer, so this copies it."""
    request.wait()
    return tuple(torch.from_numpy(np.array(output.data)) for output in request.output_tensors)


def converted(network: nn.Module, shape: Sequence[int]) -> Any:
    """A network as an OpenVINO model for planes of a shape `[C, N + 2, N + 2]` and any batch.

    Goes straight to OpenVINO's front end: `openvino.convert_model` would tell its makers.

    Raises:
      ConversionError: it cannot be converted.
    """
    from openvino import PartialShape
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch import ConversionExtension, ModuleExtension
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front_end = FrontEndManager().load_by_framework("pytorch")
    front_end.add_extension(ConversionExtension(OWN_OPERATION, _distance_planes))
    in_its_place = ModuleExtension(DistancePlanes, OWN_OPERATION, evaluate=_like_distance_planes)
    example = torch.zeros(2, *shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing is deprecated, and what it may not see
            traced = TorchScriptPythonDecoder(
                copy.deepcopy(network),  # it is changed, for its parts to be replaced
                example_input=example,
                module_extensions={DistancePlanes: in_its_place},
                trace_kwargs={"check_trace": False},
            )
        model = front_end.convert(front_end.load(traced))
        model.reshape(PartialShape([-1, *shape]))
        model.validate_nodes_and_infer_types()
        apply_moc_transformations(model, cf=True, smart_reshape=False)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConversionError(f"OpenVINO cannot take this network: {reason[:300]}") from error
    return model


def _probe_planes(shape: Sequence[int]) -> Tensor:
    """What a network sees of positions of all kinds, one row of it of this shape."""
    positions = probe_positions(COMPARED, shape[-1] - 2, torch.device("cpu"))
    planes = positions.planes(torch.float32)
    return with_colours(planes, positions.blue_to_move) if shape[0] == 3 else planes


def _require_same(network: nn.Module, model: _Model, planes: Tensor) -> None:
    """Raises `ConversionError` where a converted network's answers are not those of the original.

    What a trace does not see, and what OpenVINO does not carry over, is lost without a word.
    """
    with torch.no_grad():
        pairs = list(zip(network(planes), model(planes), strict=True))
    if not all(torch.allclose(*pair, rtol=TOLERANCE, atol=TOLERANCE) for pair in pairs):
        gap = max(float((first - second).abs().max()) for first, second in pairs)
        raise ConversionError(f"the converted network's answers are off by {gap:.2g}")


def _like_distance_planes(_: nn.Module, prices: Tensor, planes: Tensor) -> Tensor:
    """What stands for the distances while a network is traced."""
    return prices.new_zeros(len(prices), 3 * prices.shape[1], *prices.shape[2:])


def _distance_planes(context: Any) -> Any:
    """The operation that stands for `DistancePlanes` in a converted network."""
    node = _distance_operation()([context.get_input(0), context.get_input(1)])
    node.set_friendly_name(OWN_OPERATION)
    return node.outputs()


@cache
def _distance_operation() -> Any:
    """The class of OpenVINO's operation that computes `DistancePlanes`.

    Put together of OpenVINO's own operations, the relaxations take several times as long.
    """
    from openvino import Dimension, Op, PartialShape
    from openvino.opset8 import concat

    class DistancePlanesOperation(Op):  # type: ignore[misc]
        def __init__(self, inputs: Any = None) -> None:
            super().__init__(self, inputs)

        def validate_and_infer_types(self) -> None:
            rows, priced, *size = self.get_input_partial_shape(0)
            shape = PartialShape([rows, Dimension(3 * priced.get_length()), *size])
            self.set_output_type(0, self.get_input_element_type(0), shape)

        def clone_with_new_inputs(self, inputs: Any) -> Any:
            # Each inference asks a copy with constants for inputs what shape will come out. Copies
            # of this class are never freed; OpenVINO's own operations are.
            if inputs[0].get_node().get_type_name() == "Constant":
                return concat([inputs[0]] * 3, 1)
            return DistancePlanesOperation(inputs)

        def visit_attributes(self, _: Any) -> bool:
            return True

        def has_evaluate(self) -> bool:
            return True

        def evaluate(self, outputs: Any, inputs: Any) -> bool:
            rows, priced, *size = inputs[0].shape
            outputs[0].shape = [rows, 3 * priced, *size]
            fill_distance_planes(inputs[0].data, inputs[1].data, outputs[0].data)
            return True

    return DistancePlanesOperation
