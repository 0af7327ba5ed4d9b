#!/usr/bin/env bash
# ONNX Runtime 1.32.0 (with onnx 1.23.2, NumPy 2.4.6), CPU, Linux x86-64, Python 3.11.
#
# One expects quantize_static() with its defaults (QDQ, signed int8 for activations and weights) to
# make the convolutions of a residual network run in int8: it puts a quantisation around each. But in
# the graph that the session really runs, the stem and the first convolution of every block are
# float32 still, with conversions to and from int8 around them. With unsigned activations
# (activation_type=QUInt8) all of them are int8, and so are the additions.
#
# It matters for policy/value networks of board games, which are such networks: half of the
# multiplications stay float32 and the conversions come on top, so int8 looks slow, or no faster than
# float32, and is given up. Nothing is said unless one saves the optimised graph and counts. Remedy:
# activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, and count what comes out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$folder/count.py" <<'PY'
import logging
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

folder, chance = sys.argv[1], np.random.default_rng(0)
logging.disable()
nodes, weights = [], []


def conv(source: str, name: str, inputs: int, outputs: int) -> str:
    drawn = chance.standard_normal((outputs, inputs, 3, 3)).astype(np.float32) / inputs
    weights.append(numpy_helper.from_array(drawn, f"{name}_w"))
    nodes.append(helper.make_node("Conv", [source, f"{name}_w"], [name], name, pads=[1] * 4))
    return name


def other(kind: str, *sources: str) -> str:
    nodes.append(helper.make_node(kind, sources, [f"{kind}_{len(nodes)}"], f"{kind}_{len(nodes)}"))
    return nodes[-1].output[0]


stream = other("Relu", conv("planes", "stem", 2, 32))
for block in range(3):
    inner = other("Relu", conv(stream, f"block{block}_first", 32, 32))
    stream = other("Relu", other("Add", stream, conv(inner, f"block{block}_second", 32, 32)))
conv(stream, "policy", 32, 1)
planes = helper.make_tensor_value_info("planes", TensorProto.FLOAT, [8, 2, 11, 11])
policy = helper.make_tensor_value_info("policy", TensorProto.FLOAT, [8, 1, 11, 11])
graph = helper.make_graph(nodes, "network", [planes], [policy], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, f"{folder}/float32.onnx")


class Boards(CalibrationDataReader):
    def __init__(self) -> None:
        boards = (chance.random((4, 8, 2, 11, 11)) < 0.3).astype(np.float32)
        self.left = [{"planes": board} for board in boards]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


def still_float32(name: str, **choices: QuantType) -> list[str]:
    path = f"{folder}/{name}.onnx"
    quantize_static(f"{folder}/float32.onnx", path, Boards(), **choices)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = f"{path}.optimised"
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    run = onnx.load(f"{path}.optimised").graph.node
    exact = [node.name for node in run if node.op_type in ("Conv", "FusedConv")]
    count = sum(node.op_type == "QLinearConv" for node in run)
    print(f"{name}: {count} convolutions in int8, {len(exact)} in float32: {' '.join(exact)}")
    return exact


by_default = still_float32("defaults")
unsigned = still_float32("QUInt8", activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
if len(by_default) < 4 or unsigned:
    sys.exit("changed: the defaults make all convolutions int8")
PY
"$folder/venv/bin/python" "$folder/count.py" "$folder"
