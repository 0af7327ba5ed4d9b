"""The inference plan: what fixes the bits of an evaluation besides position and weights."""

import logging
import os
import platform
import re
import reprlib
import shutil
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hex_ai.errors import SettingError
from hex_ai.inference.openvino_network import has_openvino, openvino_version
from hex_ai.network.architecture import ADDED_LATER
from hex_ai.numbers import settle, wholes

log = logging.getLogger(__name__)

ORIENTATION_RULE = "180-degree turn with the smaller key, version 1"

NUMERICS_RULE = (
    "no TF32, float32 sums, bfloat16 but for a network's heads, deterministic kernels, version 1"
)

# On a CPU one compilation serves every shape from 16 rows on. On CUDA the largest divides the
# default number of games in flight, so that a level of their trees needs no padding.
DEFAULT_SHAPES = {"cpu": (16, 32, 64, 128), "cuda": (256, 512, 1024, 2048, 4096, 8192)}

# OpenVINO takes any number of rows. This many at once, so that an interrupt is seen soon.
OPENVINO_SHAPES = (1024,)

_DEVICE = re.compile(r"cpu|cuda(?::(0|[1-9][0-9]{0,2}))?")

OPENVINO = "openvino"

RUNTIMES = ("eager", "graph", "compiled", OPENVINO)

PRECISIONS = ("float32", "bfloat16", "int8")

_TEXTS = (
    *("device", "runtime", "precision", "torch_version"),
    *("orientation", "numerics", "runtime_version", "calibration"),
)

# Bounds far beyond use. Above them torch ends the process, or a batch takes for ever.
MOST_ROWS, MOST_SHAPES, MOST_THREADS = 2**16, 64, 1024


@dataclass(frozen=True)
class InferencePlan:
    """How networks are run. Frozen when a run starts and written to its `run.json`.

    Attributes:
      device: `cpu`, `cuda`, or one of several GPUs, such as `cuda:1`; its number decides no bits.
      runtime: `eager`; `graph`, on CUDA only: a recording of the eager kernels, for each shape, is
        replayed; `compiled` (`torch.compile`), on CUDA recorded too; or `openvino`, on a CPU only.
      precision: `float32`, `bfloat16`, or with `openvino` `int8`, of the network's arithmetic;
        answers are float32.
      shapes: rows of the padded batches that the network is given, ascending, each 1 to 65,536.
        OpenVINO's are not padded, and have at most as many rows as the last one says.
      threads: of the processor, 1 to 1024: within one operation, or of OpenVINO, each of which
        evaluates rows of its own.
      torch_version: as torch reports it.
      runtime_version: of OpenVINO where it is the runtime, otherwise empty.
      calibration: digest of the int8 network, once there is one.
      orientation: the rule by which a position is shown to the network as it is or rotated by 180°.
      numerics: the rule of arithmetic that `fix_numerics` sets.
    """

    device: str
    runtime: str
    precision: str
    shapes: tuple[int, ...]
    threads: int
    torch_version: str = str(torch.__version__)
    orientation: str = ORIENTATION_RULE
    numerics: str = NUMERICS_RULE
    runtime_version: str = field(default="", metadata=ADDED_LATER)
    calibration: str = field(default="", metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        for name in _TEXTS:
            if not isinstance(getattr(self, name), str):
                raise SettingError(f"{name} {reprlib.repr(getattr(self, name))} is not a text")
        if self.runtime not in RUNTIMES:
            raise SettingError(f"runtime {self.runtime!r} is not one of {', '.join(RUNTIMES)}")
        if self.runtime == "graph" and self.kind != "cuda":
            raise SettingError(f"runtime 'graph' is for cuda, not for {self.device}")
        if self.runtime == OPENVINO and self.kind != "cpu":
            raise SettingError(f"runtime {OPENVINO!r} is for cpu, not for {self.device}")
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision {self.precision!r} is not one of {list(PRECISIONS)}")
        if self.precision == "int8" and self.runtime != OPENVINO:
            raise SettingError(
                f"precision 'int8' is for runtime {OPENVINO!r}, not {self.runtime!r}"
            )
        if not _DEVICE.fullmatch(self.device):
            raise SettingError(f"device {self.device!r} is not one of cpu, cuda, cuda:1 and so on")
        object.__setattr__(self, "shapes", wholes("batch shapes", self.shapes))
        settle(self, ("threads",))
        for rows in self.shapes:
            _require_count("batch shape", rows, MOST_ROWS)
        _require_count("number of batch shapes", len(self.shapes), MOST_SHAPES)
        _require_count("number of threads", self.threads, MOST_THREADS)
        if list(self.shapes) != sorted(set(self.shapes)):
            raise SettingError(f"batch shapes {reprlib.repr(self.shapes)} are not ascending")

    @property
    def kind(self) -> str:
        """The kind of device, `cpu` or `cuda`."""
        return self.device.partition(":")[0]

    @property
    def dtype(self) -> torch.dtype:
        """What the weights and planes are in for torch; OpenVINO converts them by itself."""
        in_torch = self.precision == "bfloat16" and self.runtime != OPENVINO
        return torch.bfloat16 if in_torch else torch.float32

    @property
    def torch_threads(self) -> int:
        """Threads within one operation of torch: one, where OpenVINO has those for the network."""
        return 1 if self.runtime == OPENVINO else self.threads

    @property
    def pads(self) -> bool:
        """Whether batches are padded to the shapes."""
        return self.runtime != OPENVINO

    def with_shapes(self, shapes: tuple[int, ...]) -> "InferencePlan":
        """The same plan with other batch shapes."""
        return replace(self, shapes=shapes)

    def simpler(self) -> "InferencePlan":
        """The plan that takes the place of this one where that fails or does not pay: float32
        instead of int8, and the eager runtime instead of any other."""
        if self.precision == "int8":
            return replace(self, precision="float32", calibration="")
        shapes = self.shapes if self.pads else DEFAULT_SHAPES[self.kind]
        return replace(self, runtime="eager", shapes=shapes, runtime_version="")

    def on(self, device: torch.device) -> "InferencePlan":
        """The same plan on another device of its kind."""
        return replace(self, device=str(device))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; of the device its kind, for any other of it will do."""
        return asdict(self) | {"shapes": list(self.shapes), "device": self.kind}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "InferencePlan":
        """The plan that `to_json` wrote.

        Raises:
          SettingError: fields missing or unknown.
        """
        names = {field.name for field in fields(InferencePlan)}
        early = {f.name for f in fields(InferencePlan) if f.metadata != ADDED_LATER}
        if not isinstance(data, dict) or not early <= data.keys() <= names:
            raise SettingError(f"not an inference plan: want {', '.join(sorted(names))}")
        try:
            return InferencePlan(**data | {"shapes": tuple(data["shapes"])})
        except TypeError as error:
            raise SettingError(f"not an inference plan: {error}") from error

    @property
    def is_current(self) -> bool:
        """Whether it is of the rules, the torch and the OpenVINO of this process."""
        if self.runtime == OPENVINO and not has_openvino():
            return False
        now = current_versions(self.runtime)
        return all(getattr(self, name) == value for name, value in now.items())


def current_versions(runtime: str) -> dict[str, str]:
    """Rules and versions of this process, by the names that a plan of a runtime has them under.

    Raises:
      SettingError: the runtime is not installed.
    """
    return {
        "orientation": ORIENTATION_RULE,
        "numerics": NUMERICS_RULE,
        "torch_version": str(torch.__version__),
        "runtime_version": openvino_version() if runtime == OPENVINO else "",
    }


def _require_count(name: str, count: Any, most: int) -> None:
    if type(count) is not int or not 1 <= count <= most:
        raise SettingError(f"{name} {reprlib.repr(count)} is not a whole number from 1 to {most}")


def fix_numerics() -> None:
    """Sets torch's switches as `NUMERICS_RULE` has it. They are those of the whole process.

    Without them the driver's timing, or a sum's number of terms, could decide the last bits.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def resolve_device(name: str) -> torch.device:
    """The device meant by `auto` (cuda, else cpu), `cpu`, `cuda`, or `cuda:1` for the second GPU.

    Apple's `mps` is refused: scores are float64, which it does not have.

    Raises:
      SettingError: unknown, or not on this machine.
    """
    name = str(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    match = _DEVICE.fullmatch(name)
    if match is None:
        raise SettingError(f"device {name!r} is not one of auto, cpu, cuda, cuda:1 and so on")
    if name != "cpu" and not torch.cuda.is_available():
        raise SettingError(f"device {name!r} is not available on this machine")
    if match[1] and int(match[1]) >= (count := torch.cuda.device_count()):
        there = f"has {count} GPUs, numbered from 0" if count > 1 else "has one GPU, cuda:0"
        raise SettingError(f"device {name!r} is not available: this machine {there}")
    return torch.device(name)


def default_plan(
    device: torch.device, runtime: str = "auto", precision: str = "auto"
) -> InferencePlan:
    """The plan used where nobody chose another: measured rules of thumb, see docs/log.md.

    Args:
      device: where the network runs.
      runtime: one of `RUNTIMES`, or `auto`: `graph` on CUDA; on a CPU `openvino` if it is
        installed, else `compiled` with a C++ compiler.

    Raises:
      SettingError: what the runtime wants is not installed.
      precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the hardware multiplies it.
    """
    on_cpu = device.type == "cpu"
    if runtime == "auto" and not on_cpu:
        runtime = "graph"
    elif runtime == "auto" and has_openvino():
        runtime = OPENVINO
    elif runtime == "auto":
        runtime = "compiled" if has_compiler() else "eager"
        if runtime == "eager":
            _say_that_no_compiler_is_there()
    if precision == "auto":
        precision = "bfloat16" if multiplies_bfloat16(device) else "float32"
    shapes, of_runtime = DEFAULT_SHAPES[device.type], ""
    if runtime == OPENVINO:
        shapes, of_runtime = OPENVINO_SHAPES, openvino_version()
    threads = torch.get_num_threads()
    return InferencePlan(
        str(device), runtime, precision, shapes, threads, runtime_version=of_runtime
    )


def prompt_runtime(device: torch.device) -> str:
    """The fastest runtime that starts within a second or two, for matches and engines."""
    return OPENVINO if device.type == "cpu" and has_openvino() else "eager"


@cache
def _say_that_no_compiler_is_there() -> None:
    """Once in a process."""
    log.warning("no C++ compiler found: the network runs eager, which is slower")


def has_compiler() -> bool:
    """Whether `torch.compile` finds a C++ compiler on this machine."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products; emulation would be slow."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        flags = torch.cpu.get_capabilities()
        return any(flags.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return False


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """The name of what networks run on: of the GPU, or else of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
