#!/usr/bin/env bash
# OpenVINO 2026.4.1 with openvino-telemetry 2025.2.0, which comes along; Linux, Python 3.11.
#
# One expects `import openvino` to load a library. Within moments a thread of its telemetry forks the
# process, whether anything of OpenVINO is used or not. So whoever imports it beside torch or a pool of
# workers has a second copy of the process, made while other threads ran, which is what the
# documentation of os.fork warns of.
#
# It matters for programs that evaluate networks in many processes and threads: what they hold (locks,
# signal handlers, pipes to their parent) is in that child too. Remedy: put None for the module
# openvino_telemetry into sys.modules before the import; OpenVINO then takes a stub that does nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    openvino==2026.4.1 openvino-telemetry==2025.2.0
cat > "$folder/forks.py" <<'PY'
import sys
import threading
import time

forks = []


def watch(event, _):
    if event == "os.fork":
        forks.append(threading.current_thread() is threading.main_thread())


sys.addaudithook(watch)
if sys.argv[1] == "hidden":
    sys.modules["openvino_telemetry"] = None
import openvino  # noqa: F401

time.sleep(5)
print(f"telemetry {sys.argv[1]}: {len(forks)} forks, in the main thread: {sum(forks)}", flush=True)
sys.exit((len(forks) > 0) != (sys.argv[1] == "there") or sum(forks) > 0)
PY
for telemetry in there hidden; do
    HOME=$folder "$folder/venv/bin/python" "$folder/forks.py" $telemetry
done
