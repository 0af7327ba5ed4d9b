#!/usr/bin/env bash
# Ray 2.60.0; Linux, Python 3.11.
#
# One expects a task or an actor of Ray to run at the priority of the program that starts it. Workers run at
# niceness 15, and so does what they start; the driver stays at 0. Beside any program at the usual priority
# that wants the same core, such a worker gets some thirtieth of it (weights 36 and 1024), where a thread
# of the driver gets half.
#
# It matters for whoever compares actors with threads or processes of their own on a machine that others use
# too, and for self-play there: the actors all but stand still. Remedy: `worker_niceness` of the system's
# configuration where Ray is started from Python, RAY_worker_niceness=0 in the environment of `ray start`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
cat > "$folder/niceness.py" <<'PY'
import os
import sys

import ray

config = {"worker_niceness": 0} if sys.argv[1:] else None
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         _system_config=config)


@ray.remote
class Worker:
    def niceness(self):
        return os.nice(0)


print(os.nice(0), ray.get(Worker.remote().niceness.remote()))
PY
run() { RAY_TMPDIR=$folder "$folder/venv/bin/python" "$folder/niceness.py" "$@" 2>/dev/null | tail -1; }
usual=$(run) told=$(run told)
echo "niceness of driver and worker: $usual; with worker_niceness 0: $told"
[[ $usual == "0 15" && $told == "0 0" ]]
