"""The contenders: ways to run one network, each made ready for one fixed batch at a time."""

import copy
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jobs import CHUNK, Job
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

Answer = tuple[Tensor, Tensor]


@dataclass
class Runner:
    """A contender for one batch size.

    Attributes:
      take: planes to the runtime's own kind of input; not part of what is timed.
      run: one forward.
      give: what `run` returned to float32 logits and values.
    """

    take: Callable[[Tensor], Any]
    run: Callable[[Any], Any]
    give: Callable[[Any], Answer]

    @torch.no_grad()
    def __call__(self, planes: Tensor) -> Answer:
        """Answers to planes of the one batch size."""
        return self.give(self.run(self.take(planes)))

    @torch.no_grad()
    def rows_per_second(self, planes: Tensor, seconds: float) -> float:
        """Speed over about `seconds`, after one call that is not counted."""
        batch, calls = self.take(planes), 0
        self.run(batch)
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds or not calls:
            self.run(batch)
            calls += 1
        return calls * len(planes) / elapsed


@dataclass
class QueueRunner(Runner):
    """A contender that answers several batches at once, from a queue of requests."""

    queue: Any = None

    def rows_per_second(self, planes: Tensor, seconds: float) -> float:
        """Speed over about `seconds` with every request of the queue at work."""
        batch, calls = self.take(planes), 0
        self.run(batch)
        started = time.perf_counter()
        while time.perf_counter() - started < seconds or not calls:
            self.queue.start_async({0: batch}, share_inputs=True)
            calls += 1
        self.queue.wait_all()
        return calls * len(planes) / (time.perf_counter() - started)


ForBatch = Callable[[int], Runner]

TUNED = {
    "max_autotune": True,
    "max_autotune_report_choices_stats": False,
    "autotune_num_choices_displayed": 0,
}


@dataclass(frozen=True)
class Contender:
    """A way to run a network.

    Attributes:
      what: one line for the report.
      precision: `float32`, `bfloat16` or `int8`.
      family: `torch`, or `outside`.
      packages: modules it needs beside torch.
      build: prepares what all batch sizes share, and says how to get ready for one.
    """

    what: str
    precision: str
    family: str
    packages: tuple[str, ...]
    build: Callable[[Job, int], ForBatch]


def _torch_runner(forward: Any, dtype: torch.dtype) -> Runner:
    return Runner(
        lambda planes: planes.to(dtype).contiguous(memory_format=torch.channels_last),
        forward,
        lambda answer: (answer[0].float(), answer[1].float()),
    )


def _channels_last(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    return convert_conv2d_weight_memory_format(
        copy.deepcopy(network).to(dtype), torch.channels_last
    )


def _eager(dtype: torch.dtype) -> Callable[[Job, int], ForBatch]:
    def build(job: Job, threads: int) -> ForBatch:
        network = _channels_last(job.network, dtype)
        return lambda batch: _torch_runner(network, dtype)

    return build


def _compile(network: Any, frozen: bool, options: dict[str, Any] | None = None) -> Any:
    # As an option of torch.compile, freezing comes too late: the tracer reads the global setting,
    # and without it hands the weights over as inputs, so that nothing is left to freeze.
    torch._inductor.config.freezing = frozen
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(network, dynamic=False, options=options)


def _compiled(
    dtype: torch.dtype, frozen: bool, options: dict[str, Any] | None = None
) -> Callable[[Job, int], ForBatch]:
    def build(job: Job, threads: int) -> ForBatch:
        forward = _compile(_channels_last(job.network, dtype), frozen, options)
        return lambda batch: _torch_runner(forward, dtype)

    return build


def _ahead_of_time(job: Job, threads: int) -> ForBatch:
    network = _channels_last(job.network, torch.float32)

    def for_batch(batch: int) -> Runner:
        planes = job.planes[:1].expand(batch, -1, -1, -1)
        planes = planes.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            exported = torch.export.export(network, (planes,))
        package = io.BytesIO()
        torch._inductor.aoti_compile_and_package(
            exported, package_path=package, inductor_configs={"freezing": True}
        )
        package.seek(0)
        return _torch_runner(torch._inductor.aoti_load_package(package), torch.float32)

    return for_batch


def _torch_int8(job: Job, threads: int) -> ForBatch:
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    calibration = job.calibration.contiguous(memory_format=torch.channels_last)
    rows = torch.export.Dim("rows", min=1, max=2**16)
    network = _channels_last(job.network, torch.float32)
    with torch.no_grad():
        exported = torch.export.export(network, (calibration[:CHUNK],), dynamic_shapes=({0: rows},))
        prepared = prepare_pt2e(exported.module(), quantizer)
        for batch in calibration.split(CHUNK):
            prepared(batch)
        forward = _compile(convert_pt2e(prepared), frozen=True)
    return lambda batch: _torch_runner(forward, torch.float32)


def _openvino_settings(precision: str, hint: str, threads: int) -> dict[str, Any]:
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": hint,
    }
    return settings | ({"NUM_STREAMS": 1} if hint == "LATENCY" else {})


def _openvino_runner(model: Any, batch: int, settings: dict[str, Any]) -> Runner:
    import openvino

    model = model.clone()
    model.reshape([batch, *(side.get_length() for side in list(model.input(0).partial_shape)[1:])])
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    request, queue = compiled.create_infer_request(), openvino.AsyncInferQueue(compiled)
    kind = Runner if settings["PERFORMANCE_HINT"] == "LATENCY" else QueueRunner
    runner = kind(
        lambda planes: planes.contiguous().numpy(),
        lambda array: request.infer({0: array}, share_inputs=True, share_outputs=True),
        # Copied, because the next call writes into the same memory.
        lambda answer: (torch.tensor(answer[0]), torch.tensor(answer[1])),
    )
    if isinstance(runner, QueueRunner):
        runner.queue = queue
    return runner


def _openvino(precision: str, hint: str, quantise: bool = False) -> Callable[[Job, int], ForBatch]:
    def build(job: Job, threads: int) -> ForBatch:
        import openvino

        shape = [-1, *job.planes.shape[1:]]
        example = job.calibration[:2]
        model = openvino.convert_model(job.network, example_input=example, input=[shape])
        if quantise:
            import nncf

            batches = [batch.numpy() for batch in job.calibration.split(CHUNK)]
            model = nncf.quantize(model, nncf.Dataset(batches))
        settings = _openvino_settings(precision, hint, threads)
        return lambda batch: _openvino_runner(model, batch, settings)

    return build


def _onnxruntime(job: Job, threads: int) -> ForBatch:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1

    def for_batch(batch: int) -> Runner:
        planes = job.planes[:1].expand(batch, -1, -1, -1).contiguous()
        file = io.BytesIO()
        program = torch.onnx.export(job.network, (planes,), dynamo=True, verbose=False)
        program.save(file)
        session = onnxruntime.InferenceSession(
            file.getvalue(), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        return Runner(
            lambda planes: planes.contiguous().numpy(),
            lambda array: session.run(None, {name: array}),
            lambda answer: (torch.from_numpy(answer[0]), torch.from_numpy(answer[1])),
        )

    return for_batch


def _torch_contenders(short: str, dtype: torch.dtype) -> dict[str, Contender]:
    kinds = {
        "eager": ("eager, channels_last", _eager(dtype)),
        "compiled": ("torch.compile, weights as inputs", _compiled(dtype, frozen=False)),
        "frozen": (
            "torch.compile, weights frozen: packed once for oneDNN, ReLU and sums fused in",
            _compiled(dtype, frozen=True),
        ),
        "tuned": (
            "frozen, and max_autotune: also tries generated C++ for the matrix products",
            _compiled(dtype, frozen=True, options=dict(TUNED)),
        ),
    }
    precision = str(dtype).removeprefix("torch.")
    return {
        f"{kind}-{short}": Contender(what, precision, "torch", (), build)
        for kind, (what, build) in kinds.items()
    }


CONTENDERS = {
    **_torch_contenders("f32", torch.float32),
    **_torch_contenders("bf16", torch.bfloat16),
    "aoti-f32": Contender(
        "AOTInductor: frozen, compiled into a file", "float32", "torch", (), _ahead_of_time
    ),
    "frozen-int8": Contender(
        "static int8 by torchao (PT2E, X86InductorQuantizer), compiled frozen",
        "int8",
        "torch",
        ("torchao",),
        _torch_int8,
    ),
    "openvino-f32": Contender(
        "OpenVINO, latency hint, 1 stream",
        "float32",
        "outside",
        ("openvino",),
        _openvino("f32", "LATENCY"),
    ),
    "openvino-f32-throughput": Contender(
        "OpenVINO, throughput hint, queue of requests",
        "float32",
        "outside",
        ("openvino",),
        _openvino("f32", "THROUGHPUT"),
    ),
    "openvino-bf16": Contender(
        "OpenVINO, latency hint, 1 stream",
        "bfloat16",
        "outside",
        ("openvino",),
        _openvino("bf16", "LATENCY"),
    ),
    "openvino-int8": Contender(
        "OpenVINO, latency hint, quantised by NNCF",
        "int8",
        "outside",
        ("openvino", "nncf"),
        _openvino("f32", "LATENCY", quantise=True),
    ),
    "onnxruntime-f32": Contender(
        "ONNX Runtime, exported with a fixed batch",
        "float32",
        "outside",
        ("onnxruntime", "onnx", "onnxscript"),
        _onnxruntime,
    ),
}

# Compiling a file for every batch size takes minutes, and its speed is that of `frozen-f32`.
NOT_BY_DEFAULT = {"aoti-f32"}
