"""What the benchmark says about itself and its results: the JSON's head, and the tables."""

import argparse
import importlib.metadata
import platform
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from jobs import Job
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from workers import Worker

from hex_ai import __version__
from hex_ai.inference.inference_plan import multiplies_bfloat16, processor_name
from hex_ai.network.architecture import architecture_of, config_of, parameter_count

SCHEMA_VERSION = 1
PACKAGES = ("torch", "torchao", "openvino", "nncf", "onnxruntime", "onnx", "onnxscript")
MATMUL_SECONDS = 2.0


def overview(network: nn.Module, job: Job, arguments: argparse.Namespace) -> dict[str, Any]:
    """Where, when, how and with what the benchmark runs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "package_version": __version__,
        "versions": {"python": platform.python_version(), **versions()},
        "processor": processor_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": "native" if multiplies_bfloat16(torch.device("cpu")) else "emulated",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *sys.argv]),
        "threads": arguments.threads,
        "seconds": arguments.seconds,
        "repeats": arguments.repeats,
        "batches": arguments.batches,
        "board_size": arguments.board_size,
        "network": {
            "architecture": architecture_of(network).name,
            **config_of(network),
            "parameters": parameter_count(network),
        },
        "flops_per_row": flops_per_row(job),
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def flops_per_row(job: Job) -> int:
    """Multiplications and additions of one row, counted apart."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        job.network(job.planes[:1])
    return int(counter.get_total_flops())


def matmul_report(threads: int, path: Path) -> dict[str, float]:
    """Operations a second of large products; smaller ones where bfloat16 is emulated."""
    native = multiplies_bfloat16(torch.device("cpu"))
    worker = Worker("matrix product", threads, path)
    rates = {
        "float32": worker.ask("flops", "float32", 2048, MATMUL_SECONDS),
        "bfloat16": worker.ask("flops", "bfloat16", 2048 if native else 512, MATMUL_SECONDS),
    }
    worker.close()
    return rates


def print_report(report: dict[str, Any]) -> None:
    """Prints the tables for people."""
    _print_head(report)
    _print_speeds(report)
    _print_preparation(report)
    _print_costs(report)
    for name, layouts in report["layouts"].items():
        rates = ", ".join(
            f"{layout}: {rate['median']:.0f} ({rate['low']:.0f} to {rate['high']:.0f})"
            for layout, rate in layouts.items()
        )
        print(f"processes x threads, {name}: {rates} rows/s")
    for line in report["skipped"]:
        print(line)
    for name, result in report["contenders"].items():
        if "error" in result:
            print(f"{name} failed: {result['error']}")


def _print_head(report: dict[str, Any]) -> None:
    peaks = report["matmul_flops_per_s"]
    print(f"{report['network']}, {report['board_size']}x{report['board_size']}")
    print(
        f"{report['processor']} ({report['capability']}), {report['threads']} threads, "
        f"bfloat16 {report['bfloat16']}, {report['date']}"
    )
    print(
        f"{report['flops_per_row'] / 1e6:.1f} MFLOP a row; matrix products: "
        + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items())
    )


def _print_speeds(report: dict[str, Any]) -> None:
    """Rows a second by batch, the best with its range, as MFU and against the best in torch."""
    done = {name: r for name, r in report["contenders"].items() if "best" in r}
    plain = [r for r in done.values() if r["family"] == "torch" and r["precision"] != "int8"]
    top = max((r["best"]["median"] for r in plain), default=float("nan"))
    sizes = "".join(f"{batch:>7d}" for batch in report["batches"])
    print(f"\n{'rows/s at batch':26s}{sizes}    best (range)             MFU  to torch")
    for name, result in done.items():
        rates = result["rows_per_s"]
        cells = "".join(
            f"{rates[batch]['median']:7.0f}" if batch in rates else f"{'':7s}"
            for batch in report["batches"]
        )
        best = result["best"]
        span = f"{best['median']:.0f} ({best['low']:.0f} to {best['high']:.0f})"
        note = "  emulated" if result["emulated"] else ""
        print(
            f"{name:26s}{cells}    {span:22s}{_mfu(report, result):>6s}"
            f"{best['median'] / top:10.2f}{note}"
        )


def _mfu(report: dict[str, Any], result: dict[str, Any]) -> str:
    """Share of the matrix product's speed; none for int8, whose peak is not measured."""
    peak = report["matmul_flops_per_s"].get(result["precision"])
    if peak is None or result["emulated"]:
        return "-"
    return f"{result['best']['median'] * report['flops_per_row'] / peak:.0%}"


def _print_preparation(report: dict[str, Any]) -> None:
    print("\nseconds to convert, then to compile and first run each batch size")
    for name, result in report["contenders"].items():
        if "compile_seconds" in result:
            each = ", ".join(f"{s:.1f}" for s in result["compile_seconds"].values())
            print(f"{name:26s}{result['conversion_seconds']:6.1f}, then {each}")


def _print_costs(report: dict[str, Any]) -> None:
    print()
    for name, result in report["contenders"].items():
        if "cost" in result:
            cost = result["cost"]
            print(
                f"{name}: same favourite move in {cost['agreement']:.1%} of {cost['positions']} "
                f"positions, mean value difference {cost['mean_value_difference']:.4f}"
            )
