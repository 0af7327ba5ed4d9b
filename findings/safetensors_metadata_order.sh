#!/usr/bin/env bash
# safetensors 0.8.0 (with NumPy 2.2.6), Linux, Python 3.11.
#
# One expects that saving the same tensors with the same metadata gives the same file: the format is
# simple, has no time stamp in it, and tensors are written in a fixed order. But the metadata live in
# a hash map whose order is drawn anew at every save, so the header comes out in another order and
# the bytes differ, from process to process and within one.
#
# It matters wherever a file stands for its content: checkpoints compared or named by their SHA-256,
# caches and content-addressed stores, "nothing has changed" checks in a version control of models.
# Remedies: at most one key of metadata; or write the header again with sorted keys; or hash the
# tensors and not the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.2.6
cat > "$folder/save.py" <<'PY'
import hashlib
import numpy
from safetensors.numpy import save

tensors = {"weight": numpy.zeros((2, 2), numpy.float32)}
metadata = {"format": "x", "version": "1", "config": "{}", "notes": "{}", "by": "us"}
data = save(tensors, metadata)
print(hashlib.sha256(data).hexdigest()[:16], data[8:100].decode())
PY
for _ in 1 2 3 4 5 6 7 8; do "$folder/venv/bin/python" "$folder/save.py"; done | tee "$folder/seen"
files=$(cut -d' ' -f1 "$folder/seen" | sort -u | wc -l)
echo "$files different files of the same content in 8 processes"
if [ "$files" -eq 1 ]; then
    echo "changed: equal content gives equal bytes now"
    exit 1
fi
