#!/usr/bin/env bash
# OpenVINO 2026.4.1 and torch 2.13.0 (CPU); Linux, Python 3.11.
#
# One expects openvino.convert_model to give a model that computes what the torch module computes, or
# to say that it cannot. A module that writes into a part of a tensor is converted rightly where it
# assigns to a slice or calls copy_ on one. Where it gives the slice as out= of an operation, as code
# does that wants no new memory in a loop, the write is left out without a warning: the model goes on
# with what was in the tensor before. The trace that torch made on the way is right.
#
# It matters for layers of a network that relax distances, accumulate or scan in place: the converted
# network still gives plausible answers, and is faster, for part of it is gone. Remedy: assign to the
# slice, and compare the converted network with the original on real input before trusting it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 openvino==2026.4.1
cat > "$folder/strip.py" <<'PY'
import warnings

import openvino as ov
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

warnings.simplefilter("ignore")


class Distances(nn.Module):
    """Distances of the cells of a strip from its left end, which takes a round for each cell."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, prices: Tensor) -> Tensor:
        strip = pad(torch.full_like(prices, 16.0), (1, 1))
        strip[:, 0] = 0
        for _ in range(5):
            near = torch.minimum(strip[:, :-2], strip[:, 2:])
            if self.way == "assigned":
                strip[:, 1:-1] = near + prices
            elif self.way == "copied":
                strip[:, 1:-1].copy_(near + prices)
            else:
                torch.add(near, prices, out=strip[:, 1:-1])
        return strip[:, 1:-1]


prices = torch.tensor([[1.0, 2.0, 0.5, 1.5]])
found = {}
for way in ("assigned", "copied", "out="):
    module = Distances(way).eval()
    model = ov.convert_model(module, example_input=prices)
    answer = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(prices.numpy())[0]
    traced = torch.jit.trace(module, prices)(prices)
    print(f"{way:>9}: torch {module(prices)[0].tolist()}, its trace {traced[0].tolist()},")
    print(f"           OpenVINO {answer[0].tolist()}")
    found[way] = torch.equal(module(prices), torch.from_numpy(answer))
if found != {"assigned": True, "copied": True, "out=": False}:
    raise SystemExit("this has changed")
PY
"$folder/venv/bin/python" "$folder/strip.py"
