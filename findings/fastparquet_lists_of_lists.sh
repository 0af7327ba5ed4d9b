#!/usr/bin/env bash
# fastparquet 2026.9.0 (with pandas 3.1.1), reading what pyarrow 26.0.1 wrote; Linux, Python 3.11.
#
# One expects a reader of Parquet to give a column of lists of lists, or to say that it cannot. Other
# readers give them, and fastparquet itself gives plain lists. Lists of lists come back as None in
# every row, with no error and no warning, so the column looks as if nothing had been stored.
#
# It matters where records of games have an entry a ply and several numbers in each: the candidates
# and the policy of every ply are gone, while moves and values, plain lists, are there. A script that
# skips rows without a policy goes on with none at all. Remedy: read with pyarrow, DuckDB or polars.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastparquet==2026.9.0 pandas==3.1.1 pyarrow==26.0.1
cat > "$folder/read.py" <<'PY'
import sys
import warnings

import fastparquet
import pyarrow as pa
import pyarrow.parquet as pq

path = sys.argv[1]
policies = [[[0.5, 0.5], [1.0]], [[1.0]]]
pq.write_table(pa.table({"moves": [[3, 1], [2]], "policy": policies}), path)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    frame = fastparquet.ParquetFile(path).to_pandas()
said = [str(one.message) for one in caught if one.category is not ResourceWarning]
print("pyarrow:    ", pq.read_table(path).to_pydict())
print("fastparquet:", {name: frame[name].tolist() for name in frame}, "warnings:", said)
lost = frame["policy"].isna().all() and not frame["moves"].isna().any() and not said
if not lost or pq.read_table(path)["policy"].to_pylist() != policies:
    sys.exit("changed: lists of lists are read, or refused aloud")
PY
"$folder/venv/bin/python" "$folder/read.py" "$folder/games.parquet"
