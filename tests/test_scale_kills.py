"""Self-play on three nodes, with actors, nodes and the driver killed at random moments."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.cluster_utils import Cluster
from ray_actors import actors, eventually

from hex_ai.scale.leases import game_digest
from hex_ai.store.run_folder import read_games

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-c", "from hex_ai.cli.main import main; main()"]
SELFPLAY = ["selfplay", "--board-size", "5", "--search-widths", "8,4", "--seed", "9"]
SELFPLAY += ["--runtime", "eager", "--games-in-flight", "16"]


@pytest.fixture
def cluster() -> Iterator[Any]:
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()


class Killer:
    """Kills what takes part, at random."""

    def __init__(self, cluster: Any, start: Callable[[], "subprocess.Popen[str]"]) -> None:
        self.cluster, self.start, self.driver = cluster, start, start()
        self.random, self.kills = random.Random(4), dict[str, int]()

    def kill(self, kind: str) -> None:
        getattr(self, kind)()
        self.kills[kind] = self.kills.get(kind, 0) + 1

    def actor(self) -> None:
        os.kill(self.random.choice(eventually(actors)), signal.SIGKILL)

    def node(self) -> None:
        nodes = [
            node for node in self.cluster.list_all_nodes() if node is not self.cluster.head_node
        ]
        self.cluster.remove_node(self.random.choice(nodes), allow_graceful=False)
        self.cluster.add_node(num_cpus=1)

    def drivers(self) -> None:
        self.driver.kill()
        self.driver.communicate()
        self.driver = self.start()


def exported(folder: Path) -> str:
    command = [*COMMAND, "export", str(folder), "--format", "trmph"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(os.environ.get("HEX_AI_TEST_ALL") != "1", reason="takes many minutes")
def test_whatever_is_killed_the_games_are_those_of_one_process(
    cluster: Any, tmp_path: Path
) -> None:
    games, kills = 2000, 24
    alone = [*COMMAND, *SELFPLAY, "--num-games", str(games), "--out", str(tmp_path / "alone")]
    subprocess.run(alone, cwd=ROOT, check=True, capture_output=True)
    folder = tmp_path / "many"

    def start() -> "subprocess.Popen[str]":
        command = [*COMMAND, *SELFPLAY, "--num-games", str(games), "--out", str(folder), "--resume"]
        command += ["--ray", cluster.address, "--actors", "3"]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    killer = Killer(cluster, start)
    for kind in ["actor", "actor", "node", "actor", "actor", "drivers"] * (kills // 6):
        eventually(lambda: actors() or killer.driver.poll() is not None)
        time.sleep(killer.random.uniform(0.0, 5.0))
        assert killer.driver.poll() is None, killer.kills
        killer.kill(kind)
    out, err = killer.driver.communicate(timeout=900)
    assert killer.driver.returncode == 0, err
    assert "Traceback" not in err
    assert killer.kills == {"actor": 16, "node": 4, "drivers": 4}
    assert exported(folder) == exported(tmp_path / "alone")
    digests = [list(map(game_digest, read_games(found))) for found in (folder, tmp_path / "alone")]
    assert digests[0] == digests[1]
    assert f"{games} games" in out
    eventually(lambda: not actors())
