"""Runtimes of one network on this processor, each in a process of its own.

A contender is made ready for one fixed batch at a time: a call without arguments evaluates it, from
an input that is in the runtime's own memory already.
"""

import copy
import io
import logging
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

CHUNK = 64


@dataclass(frozen=True, eq=False)
class Job:
    """What all contenders evaluate.

    Attributes:
      network: ready for evaluation, float32.
      planes: of each batch size, float32 `[B, 2, N + 2, N + 2]`, from real games.
      calibration: planes of other games, to find the ranges of int8 with.
      threads: of the processor.
    """

    network: nn.Module
    planes: dict[int, Tensor]
    calibration: Tensor
    threads: int


Forward = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """One runtime: what it is, its precision, what it needs, and how it is made."""

    what: str
    precision: str
    packages: tuple[str, ...]
    build: Callable[[Job, Tensor], Forward]


def _torch(dtype: torch.dtype, compiled: bool, job: Job, planes: Tensor) -> Forward:
    network: Any = convert_conv2d_weight_memory_format(
        copy.deepcopy(job.network).to(dtype), torch.channels_last
    )
    if compiled:
        torch._inductor.config.freezing = True  # as an option of torch.compile it comes too late
        network = torch.compile(network, dynamic=False)
    return partial(network, planes.to(dtype).contiguous(memory_format=torch.channels_last))


@lru_cache
def _openvino_model(job: Job, quantised: bool) -> Any:
    import openvino

    shape = [-1, *job.calibration.shape[1:]]
    model = openvino.convert_model(
        job.network, example_input=job.calibration[:2], input=[shape], verbose=False
    )
    if quantised:
        import nncf

        batches = [batch.numpy() for batch in job.calibration.split(CHUNK)]
        model = nncf.quantize(model, nncf.Dataset(batches))
    return model


def _openvino(precision: str, quantised: bool, job: Job, planes: Tensor) -> Forward:
    import openvino

    model = _openvino_model(job, quantised).clone()
    model.reshape(list(planes.shape))
    settings = {
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return partial(
        request.infer, {0: planes.contiguous().numpy()}, share_inputs=True, share_outputs=True
    )


def _onnxruntime(job: Job, planes: Tensor) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    file = io.BytesIO()
    torch.onnx.export(job.network, (planes.contiguous(),), dynamo=True, verbose=False).save(file)
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return partial(session.run, None, {name: planes.contiguous().numpy()})


F32, BF16 = torch.float32, torch.bfloat16
OPENVINO, ONNX = ("openvino",), ("onnxruntime", "onnx", "onnxscript")
FROZEN = "torch.compile, weights frozen"

CONTENDERS = {
    "eager-f32": Contender("torch, eager", "float32", (), partial(_torch, F32, False)),
    "frozen-f32": Contender(FROZEN, "float32", (), partial(_torch, F32, True)),
    "frozen-bf16": Contender(FROZEN, "bfloat16", (), partial(_torch, BF16, True)),
    "openvino-f32": Contender("OpenVINO", "float32", OPENVINO, partial(_openvino, "f32", False)),
    "openvino-bf16": Contender("OpenVINO", "bfloat16", OPENVINO, partial(_openvino, "bf16", False)),
    "openvino-int8": Contender(
        "OpenVINO, by NNCF", "int8", (*OPENVINO, "nncf"), partial(_openvino, "f32", True)
    ),
    "onnxruntime-f32": Contender("ONNX Runtime", "float32", ONNX, _onnxruntime),
}


# What the process of a contender holds: the contender, the job, and its forwards by batch size.
_here: dict[str, Any] = {}


def start(name: str, job: bytes) -> None:
    """Begins the process of one contender; the job is pickled."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    _here.update(contender=CONTENDERS[name], job=pickle.loads(job), forwards={})
    torch.set_num_threads(_here["job"].threads)


@torch.no_grad()
def prepare(batch: int) -> dict[str, float]:
    """Seconds until the first answer, and how far answers are from eager float32."""
    job, started = _here["job"], time.perf_counter()
    planes = job.planes[batch]
    forward = _here["forwards"][batch] = _here["contender"].build(job, planes)
    answer = forward()
    seconds = time.perf_counter() - started
    logits, values = (torch.as_tensor(answer[part]).float() for part in (0, 1))
    right_logits, right_values = job.network(planes)
    same = logits.argmax(1) == right_logits.argmax(1)
    return {
        "seconds": seconds,
        "logits_off": float((logits - right_logits).norm() / right_logits.norm()),
        "values_off": float((values - right_values).abs().mean()),
        "same_favourite": float(same.float().mean()),
    }


@torch.no_grad()
def measure(batch: int, seconds: float) -> float:
    """Rows a second, after one call that is not counted."""
    forward, calls = _here["forwards"][batch], 0
    forward()
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or not calls:
        forward()
        calls += 1
    return calls * batch / elapsed
