#!/usr/bin/env bash
# Ray 2.60.0; Linux, Python 3.11.
#
# One expects a program's own handler of SIGTERM to stay in force whatever library it loads, so that a
# job that is told to end (by Slurm, Kubernetes, `timeout`) stores what it has. `ray.init` puts a handler
# of its own in the place of Python's, without a word: the next SIGTERM prints a stack of native
# addresses and ends the process with status 15; no `finally`, no `atexit`, no exception. SIGINT keeps
# its handler.
#
# It matters for drivers of self-play and of training, which are ended that way on every cluster. Remedy:
# set the handlers again after `ray.init`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
cat > "$folder/signals.py" <<'PY'
import os
import signal
import sys
import time

import ray


def store(number, _):
    print("stored what there was", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, store)
signal.signal(signal.SIGINT, store)
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
kept = {n.name: signal.getsignal(n) is store for n in (signal.SIGTERM, signal.SIGINT)}
print("handlers kept:", kept, flush=True)
if sys.argv[1] == "again":
    signal.signal(signal.SIGTERM, store)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(20)
PY
run() { RAY_TMPDIR=$folder "$folder/venv/bin/python" "$folder/signals.py" "$1" 2>/dev/null; }
status=0
lost=$(run once) || status=$?
echo "$lost; status $status"
[[ $status -eq 15 && $lost == *"'SIGTERM': False, 'SIGINT': True"* && $lost != *stored* ]]
kept=$(run again)
echo "$kept; status 0"
[[ $kept == *stored* ]]
