#!/usr/bin/env bash
# DuckDB 2.0.1, reading what pyarrow 26.0.1 wrote; Linux, Python 3.11.
#
# One expects isnan(x) to say of each row whether it is NaN, and to say the same of a file as of a
# table into which the file was read. Over a Parquet file it is false in every row, where the writer
# kept the least and the greatest value of the column, as pyarrow does unless told otherwise. Such
# statistics leave NaN out, and DuckDB seems to take them to mean that there is none: in WHERE, in
# SELECT, and in max(x), which for a table with NaN says NaN. The same file without statistics, or
# read into a table first, is answered rightly.
#
# It matters where NaN is looked for: values and losses of a training are checked by "SELECT count(*)
# FROM 'log.parquet' WHERE isnan(loss)", which says 0 whatever is in the file. Remedy: CREATE TABLE …
# AS SELECT * FROM the file, and ask that; or look with pyarrow or polars.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1
cat > "$folder/count.py" <<'PY'
import math
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq


def asked(source: str) -> list[object]:
    rows = duckdb.sql(f"SELECT isnan(value) FROM {source}").fetchall()
    count = duckdb.sql(f"SELECT count(*) FROM {source} WHERE isnan(value)").fetchall()
    greatest = duckdb.sql(f"SELECT max(value) FROM {source}").fetchall()
    answer = [[row[0] for row in rows], count[0][0], greatest[0][0]]
    print(f"{source.rsplit('/')[-1]:>24}: isnan {answer[0]}, count {answer[1]}, max {answer[2]}")
    return answer[:2]


folder = sys.argv[1]
values = pa.table({"value": [0.5, math.nan, -0.25]})
answers = []
for name, kept in (("with_statistics", True), ("without_statistics", False)):
    path = f"{folder}/{name}.parquet"
    pq.write_table(values, path, write_statistics=kept)
    answers.append(asked(f"'{path}'"))
duckdb.sql(f"CREATE TABLE copied AS SELECT * FROM '{folder}/with_statistics.parquet'")
answers.append(asked("copied"))
right = [[False, True, False], 1]
if answers != [[[False] * 3, 0], right, right]:
    sys.exit("changed: a file is answered as a table is")
PY
"$folder/venv/bin/python" "$folder/count.py" "$folder"
