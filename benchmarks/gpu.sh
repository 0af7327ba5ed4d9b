#!/bin/sh
# Checks and times everything on a GPU, from a plain checkout, with the machine's own python3:
#     benchmarks/gpu.sh tests        benchmarks/gpu.sh bench --seconds 5
# Nothing is built, installed or fetched. `benchmarks/gpu.sh --help` lists the stages.
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# JAX would otherwise take most of the GPU's memory for itself.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
if ! "${PYTHON:-python3}" -c "import torch" 2>/dev/null; then
    echo "error: ${PYTHON:-python3} has no torch; name another with PYTHON=…" >&2
    exit 2
fi
exec "${PYTHON:-python3}" benchmarks/gpu "$@"
