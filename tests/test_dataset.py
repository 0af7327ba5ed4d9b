"""The dataset gives each training sample once, whoever reads it, in an order that is drawn by seed.

Everything is seeded, so no test can fail by chance.
"""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from evaluators import Hashed
from torch.utils.data import DataLoader

from hex_ai import GamesDataset, read_games
from hex_ai.errors import RecordError, SettingError, StoreError
from hex_ai.game.records import GameRecord
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.run_folder import GameStore, read_shard, shard_paths
from hex_ai.training.samples import samples_from_games

pytestmark = pytest.mark.usefixtures("one_thread")

RECORDS = Path(__file__).parent.parent / "docs" / "records.md"
RUN: dict[str, Any] = {
    "format": "hex_ai-run",
    "version": 1,
    "network": {},
    "settings": {},
    "plan": {},
}

# Warnings of torch and Python about the processors of this machine and about forks.
workers_allowed = pytest.mark.filterwarnings("ignore:This DataLoader:UserWarning", "ignore:.*fork")


def played(size: int, ids: range) -> list[GameRecord]:
    runner = Runner(Hashed(4), SelfPlaySettings(size, (3, 2)), games_in_flight=9)
    return [game for some in runner.play(ids) for game in some]


def stored(folder: Path, games: list[GameRecord], shard: int) -> Path:
    with GameStore(folder, RUN) as store:
        for start in range(0, len(games), shard):
            store.write(games[start : start + shard])
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of 4×4, with 5 shards and 2."""
    base, games = tmp_path_factory.mktemp("runs"), played(4, range(20))
    return [stored(base / "a", games[:14], 3), stored(base / "b", games[14:], 4)]


def prints(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    """What can be compared of items."""
    return [tuple(tuple(tensor.flatten().tolist()) for tensor in item) for item in items]


def training_samples(folder: Path) -> list[tuple[Any, ...]]:
    samples = samples_from_games(list(read_games(folder)))
    return prints(zip(*vars(samples).values(), strict=True))


def loaded(dataset: GamesDataset, workers: int, **options: Any) -> list[tuple[Any, ...]]:
    batches = DataLoader(dataset, batch_size=7, num_workers=workers, **options)
    return [one for batch in batches for one in prints(zip(*batch, strict=True))]


def test_items_are_the_training_samples_in_shapes_that_networks_take(folders: list[Path]) -> None:
    dataset = GamesDataset(folders)
    items = list(dataset)
    assert Counter(prints(items)) == Counter(
        training_samples(folders[0]) + training_samples(folders[1])
    )
    assert dataset.board_size == 4
    assert {(t.dtype, tuple(t.shape)) for item in items for t in item} == {
        (torch.float32, shape) for shape in ((2, 6, 6), (16,), ())
    }
    assert items[0]._fields == ("planes", "policy", "value", "outcome")
    batch = next(iter(DataLoader(dataset, batch_size=8)))
    logits, values = HexNetwork(NetworkConfig(8, 1))(batch.planes)
    assert (logits.shape, values.shape) == (batch.policy.shape, batch.value.shape)


def test_one_folder_may_stand_for_itself(folders: list[Path]) -> None:
    for one in (folders[1], str(folders[1]), [folders[1]]):
        assert Counter(prints(GamesDataset(one))) == Counter(training_samples(folders[1]))


def test_order_is_a_function_of_seed_and_epoch(folders: list[Path]) -> None:
    dataset = GamesDataset(folders, seed=1)
    orders = [prints(dataset), prints(GamesDataset(folders, seed=2))]
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        orders.append(prints(dataset))
    assert all(Counter(order) == Counter(orders[0]) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    dataset.set_epoch(0)
    assert prints(dataset) == prints(dataset) == prints(GamesDataset(folders, seed=1)) == orders[0]


def test_shards_and_the_samples_of_each_are_shuffled_in_every_epoch(folders: list[Path]) -> None:
    shards = [
        prints(zip(*vars(samples_from_games(read_shard(path))).values(), strict=True))
        for folder in folders
        for path in shard_paths(folder)
    ]
    dataset, orders, seen = GamesDataset(folders), [list(range(7))], [shards]
    for epoch in range(2):
        dataset.set_epoch(epoch)
        order = prints(dataset)
        place = {sample: number for number, shard in enumerate(shards) for sample in shard}
        orders.append(list(dict.fromkeys(place[sample] for sample in order)))
        seen.append([[sample for sample in order if place[sample] == k] for k in range(7)])
    for one, other in combinations(range(3), 2):
        assert sorted(orders[one]) == sorted(orders[other])
        assert orders[one] != orders[other]
        assert all(a != b for a, b in zip(seen[one], seen[other], strict=True))


@workers_allowed
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_workers_give_each_item_once(folders: list[Path], workers: int) -> None:
    dataset = GamesDataset(folders)
    found = loaded(dataset, workers)
    assert Counter(found) == Counter(prints(dataset))


@workers_allowed
def test_workers_that_stay_learn_of_the_next_epoch(folders: list[Path]) -> None:
    dataset = GamesDataset(folders[1])
    loader = DataLoader(dataset, batch_size=7, num_workers=1, persistent_workers=True)
    for epoch in range(3):
        dataset.set_epoch(epoch)
        found = [one for batch in loader for one in prints(zip(*batch, strict=True))]
        assert found == prints(dataset)


def test_one_shard_is_in_memory_at_a_time(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of a sample is no more than itself, and shards are read as they are needed."""
    reads: list[Path] = []

    def counted(path: Path) -> list[GameRecord]:
        reads.append(path)
        return read_shard(path)

    monkeypatch.setattr("hex_ai.training.dataset.read_shard", counted)
    items = iter(GamesDataset(folders))
    assert not reads
    item = next(items)
    assert len(reads) == 1
    assert all(t.untyped_storage().nbytes() == t.nbytes for t in item)


def test_what_no_dataset_can_be_made_of_is_named(folders: list[Path], tmp_path: Path) -> None:
    other = stored(tmp_path / "five", played(5, range(2)), 2)
    with pytest.raises(RecordError, match=r"five/games-000000\.parquet: board size 5, but 4 in "):
        GamesDataset([*folders, other])
    with pytest.raises(StoreError, match="nowhere: no such folder"):
        GamesDataset([folders[0], tmp_path / "nowhere"])
    with pytest.raises(SettingError, match="a dataset needs a folder of games"):
        GamesDataset([])
    for seed in (-1, 2**63):
        with pytest.raises(SettingError, match=f"seed {seed} is outside"):
            GamesDataset(folders, seed=seed)
        with pytest.raises(SettingError, match=f"epoch {seed} is outside"):
            GamesDataset(folders).set_epoch(seed)


def test_damage_is_named_at_the_door_or_when_it_is_read(
    folders: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(folders[0], folder)
    shard = shard_paths(folder)[1]
    whole = shard.read_bytes()
    # A bit in the pages of the last column: the footer and the board sizes are still sound.
    place = pq.ParquetFile(shard).metadata.row_group(0).column(15).data_page_offset + 60
    shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    dataset = GamesDataset(folder)
    with pytest.raises(StoreError, match=r"games-000001\.parquet: .*(CRC|corrupt)"):
        list(dataset)
    with pytest.raises(StoreError, match=r"games-000001\.parquet: "):
        list(DataLoader(dataset, num_workers=1))
    shard.write_bytes(whole[:-9])
    with pytest.raises(StoreError, match=r"games-000001\.parquet: "):
        GamesDataset(folder)
    shard.unlink()
    with pytest.raises(StoreError, match=r"games-000001\.parquet: .*No such file"):
        list(dataset)


@pytest.mark.parametrize("sizes", [[], [4, 5]])
def test_a_shard_of_no_or_several_sizes_is_named(
    folders: list[Path], tmp_path: Path, sizes: list[int]
) -> None:
    table = pq.read_table(shard_paths(folders[0])[0])[: len(sizes)]
    column = pa.array(sizes, pa.uint8())
    place = table.schema.get_field_index("board_size")
    table = table.set_column(place, table.schema.field(place), column)
    pq.write_table(table, tmp_path / "games-000000.parquet")
    with pytest.raises(StoreError, match=r"games-000000\.parquet: want games of one board size"):
        GamesDataset(tmp_path)


# How each library gives its rows as dictionaries.
READERS: dict[str, Callable[[Any], list[dict[str, Any]]]] = {
    "pyarrow.parquet": lambda games: games.to_pylist(),
    "duckdb": lambda games: games.to_arrow_table().to_pylist(),
    "polars": lambda games: games.to_dicts(),
    "datasets": lambda games: games.to_list(),
}


def example(library: str) -> str:
    """The code of docs/records.md that imports a library."""
    blocks = re.findall(r"```python\n(.*?)```", RECORDS.read_text("utf-8"), re.DOTALL)
    (block,) = (b for b in blocks if re.search(rf"(import|from) {re.escape(library)}\b", b))
    return str(block)


@pytest.mark.parametrize("library", READERS)
def test_other_libraries_read_what_the_page_says(
    folders: list[Path], library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    pytest.importorskip(library)
    names: dict[str, Any] = {}
    exec(example(library).replace("DIR", str(folders[0])), names)
    rows = sorted(READERS[library](names["games"]), key=lambda row: int(row["game_id"]))
    games = list(read_games(folders[0]))
    assert [row["game_id"] for row in rows] == [game.game_id for game in games]
    assert [row["moves"] for row in rows] == [game.moves.tolist() for game in games]
    for row, game in zip(rows, games, strict=True):
        cells = [[c for c in ply if c >= 0] for ply in game.candidate_cells.tolist()]
        assert row["candidate_cells"] == cells


@workers_allowed
def test_the_page_shows_how_to_train(folders: list[Path]) -> None:
    names: dict[str, Any] = {"fit": lambda *batch: batches.append(batch)}
    batches: list[Any] = []
    code = example("torch").replace("DIR", str(folders[1]))
    exec(code.replace("batch_size=256", "batch_size=5"), names)
    found = [one for batch in batches for one in prints(zip(*batch, strict=True))]
    assert Counter(found) == Counter(3 * training_samples(folders[1]))
