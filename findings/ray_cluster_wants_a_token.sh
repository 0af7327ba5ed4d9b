#!/usr/bin/env bash
# Ray 2.60.0; Linux, Python 3.11.
#
# One expects `ray start --head` to make the same cluster each time, which other machines join by its address.
# Whether it does depends on what was run on that machine before: the first `ray.init()` that starts a Ray of its
# own leaves a token in ~/.ray/auth_token, and from then on `ray start` makes a cluster that wants this token.
# A machine or user without the file is refused, after some 20 seconds, with an error that names no token
# ("Failed to connect to Ray cluster"); only a log line below it does.
#
# It matters for whoever tries self-play on the actors of one machine first and then starts a cluster there: what
# worked yesterday lets nobody in. Remedy: the same file on all machines, or RAY_AUTH_MODE=disabled for all.
set -euo pipefail
folder=$(mktemp -d)
export RAY_TMPDIR=$folder/ray
head_home=$folder/head other_home=$folder/other port=6397
mkdir "$head_home" "$other_home" "$RAY_TMPDIR"
stop() { HOME=$head_home "$folder/venv/bin/ray" stop --force --grace-period 5 >/dev/null 2>&1 || true; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
# `ray stop` would end every Ray of this user: those that were there before forbid the experiment.
if pgrep -u "$(id -u)" -x raylet >/dev/null; then
    echo "a Ray runs here already" >&2
    exit 2
fi
trap 'stop; rm -rf "$folder"' EXIT
start() {
    HOME=$head_home "$folder/venv/bin/ray" start --head --port $port --num-cpus 1 --include-dashboard false \
        >/dev/null 2>&1
}
join() {  # as another machine would, whose home is another
    HOME=$other_home "$folder/venv/bin/python" - 2>/dev/null <<PY || echo refused
import ray
ray.init("127.0.0.1:$port", logging_level="ERROR")
print("joined")
PY
}
start
before=$(join)
stop
HOME=$head_home "$folder/venv/bin/python" -c 'import ray; ray.init("local", include_dashboard=False)' >/dev/null 2>&1
start
after=$(join)
cp -r "$head_home/.ray" "$other_home/"
with_token=$(join)
echo "another machine: at first $before; after a local Ray $after; with its token $with_token"
[[ $before == joined && $after == refused && $with_token == joined ]]
