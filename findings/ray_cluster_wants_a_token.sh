#!/usr/bin/env bash
# Ray 2.60.0; Linux, Python 3.11.
#
# One expects `ray start --head` to make the same cluster each time, which is joined by its address. Whether it does
# depends on what was run on that machine before: the first `ray.init()` that starts a Ray of its own leaves a token
# in ~/.ray/auth_token, and from then on `ray start` makes a cluster that wants this token. A program that joins by
# an address is refused, even of the same user on the same machine, for it sends the token only where
# RAY_AUTH_MODE=token says so. It takes some 20 seconds, and the error names no token ("Failed to connect to Ray
# cluster"); only a log line does.
#
# It matters for whoever tries self-play on the actors of one machine first and then starts a cluster there: what
# worked yesterday lets nobody in. Remedy: RAY_AUTH_MODE=token and the same ~/.ray/auth_token for all who join (a
# cluster without tokens takes them too), or RAY_AUTH_MODE=disabled for all.
set -euo pipefail
if pgrep -u "$(id -u)" -x raylet >/dev/null; then  # `ray stop` below would end that too
    echo "a Ray runs here already" >&2
    exit 2
fi
folder=$(mktemp -d)
export HOME=$folder RAY_TMPDIR=$folder/ray
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
mkdir "$RAY_TMPDIR"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
stop() { "$folder/venv/bin/ray" stop --force --grace-period 5 >/dev/null 2>&1 || true; }
trap 'stop; rm -rf "$folder"' EXIT
start() { "$folder/venv/bin/ray" start --head --port 6397 --num-cpus 1 --include-dashboard false >/dev/null 2>&1; }
join() {
    "$folder/venv/bin/python" - 2>/dev/null <<'PY' || echo refused
import ray
ray.init("127.0.0.1:6397", logging_level="ERROR")
print("joined")
PY
}
start
before=$(join)
stop
"$folder/venv/bin/python" -c 'import ray; ray.init("local", include_dashboard=False)' >/dev/null 2>&1
start
after=$(join)
told=$(RAY_AUTH_MODE=token join)
echo "a program of the same user: at first $before; after a local Ray $after; with RAY_AUTH_MODE=token $told"
[[ $before == joined && $after == refused && $told == joined ]]
