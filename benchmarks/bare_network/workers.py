"""One contender in a process of its own, asked over a pipe."""

import logging
import math
import multiprocessing
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from jobs import CHUNK, Job, in_chunks, load_job
from runtimes import CONTENDERS, Runner
from torch import Tensor

# How far answers may be from eager float32, as shares of its largest logit, and in values.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.1}
# Quantised answers are not close row by row; wrong ones are not even alike.
LEAST_CORRELATION = 0.9


class WorkerError(Exception):
    """A contender could not do what it was asked; the message says why."""


class Worker:
    """A contender's process, as seen from outside."""

    def __init__(self, name: str, threads: int, job: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, name, threads, job), daemon=True)
        self._process.start()
        other.close()

    def ask(self, request: str, *arguments: Any) -> Any:
        """Sends a request and waits for its answer."""
        self.send(request, *arguments)
        return self.answer()

    def send(self, request: str, *arguments: Any) -> None:
        """Sends a request without waiting."""
        try:
            self._pipe.send((request, arguments))
        except OSError as error:
            raise WorkerError("its process has ended") from error

    def answer(self) -> Any:
        """The answer to the last request.

        Raises:
          WorkerError: the contender failed, or its process died.
        """
        try:
            done, result = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerError("its process has ended") from error
        if not done:
            raise WorkerError(result)
        return result

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.join()


def serve(pipe: Connection, name: str, threads: int, path: Path) -> None:
    """The process of a worker: answers until it is ended."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    bench = Bench(name, threads, load_job(path)) if name in CONTENDERS else MatrixProduct()
    while True:
        request, arguments = pipe.recv()
        try:
            pipe.send((True, getattr(bench, request)(*arguments)))
        except Exception as error:  # noqa: BLE001 - raised again where the answer is awaited
            reason = " ".join(str(error).split())[:200]
            pipe.send((False, f"{type(error).__name__}: {reason}"))


class MatrixProduct:
    """The machine's speed at nothing but a large matrix product."""

    def flops(self, precision: str, size: int, seconds: float) -> float:
        """Operations a second of a `size` × `size` product, the best of its calls."""
        a = torch.randn(size, size).to(getattr(torch, precision))
        best, ends = math.inf, time.perf_counter() + seconds
        while best == math.inf or time.perf_counter() < ends:
            started = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - started)
        return 2 * size**3 / best


class Bench:
    """One contender: made ready, checked and timed."""

    def __init__(self, name: str, threads: int, job: Job) -> None:
        self._contender, self._threads, self._job = CONTENDERS[name], threads, job
        self._runners: dict[int, Runner] = {}
        self._for_batch: Any = None

    def convert(self) -> float:
        """Does what all batch sizes share; returns its seconds."""
        started = time.perf_counter()
        self._for_batch = self._contender.build(self._job, self._threads)
        return time.perf_counter() - started

    def prepare(self, batch: int) -> float:
        """Gets ready for one batch size, first call included; returns the seconds it took."""
        started = time.perf_counter()
        self._runners[batch] = self._for_batch(batch)
        self._runners[batch](self._planes(batch))
        return time.perf_counter() - started

    def measure(self, batch: int, seconds: float) -> float:
        """Rows a second at one batch size."""
        return self._runners[batch].rows_per_second(self._planes(batch), seconds)

    def check(self, batch: int) -> dict[str, Any]:
        """Compares one batch size with eager float32; `right` says whether it will do."""
        runner = self._runners[batch]
        rows = min(batch, len(self._job.planes))
        logits, values = runner(self._planes(batch))
        want_logits, want_values = self._job.logits[:rows], self._job.values[:rows]
        if logits[:rows].shape != want_logits.shape or values[:rows].shape != want_values.shape:
            return {"right": False, "reason": f"shapes {logits.shape} and {values.shape}"}
        scale = float(want_logits.abs().amax().clamp(min=1e-6))
        found = {
            "logit_difference": float((logits[:rows] - want_logits).abs().amax()) / scale,
            "value_difference": float((values[:rows] - want_values).abs().amax()),
            "correlation": _correlation(logits[:rows], want_logits),
        }
        return found | {"right": self._right(found)}

    def _right(self, found: dict[str, float]) -> bool:
        if self._contender.precision == "int8":
            return found["correlation"] >= LEAST_CORRELATION
        tolerance = TOLERANCES[self._contender.precision]
        return found["logit_difference"] <= tolerance and found["value_difference"] <= tolerance

    def cost(self) -> dict[str, Any]:
        """What the precision costs, over all positions of the job."""
        job = self._job
        if CHUNK not in self._runners:
            self.prepare(CHUNK)
        logits, values = in_chunks(self._runners[CHUNK], job.planes)
        same = _favourites(logits, job.legal) == _favourites(job.logits, job.legal)
        return {
            "positions": len(same),
            "agreement": float(same.float().mean()),
            "mean_value_difference": float((values - job.values).abs().mean()),
        }

    def _planes(self, batch: int) -> Tensor:
        repeats = -(-batch // len(self._job.planes))
        return self._job.planes.repeat(repeats, 1, 1, 1)[:batch]


def _favourites(logits: Tensor, legal: Tensor) -> Tensor:
    return logits.masked_fill(~legal, -math.inf).argmax(1)


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1])
