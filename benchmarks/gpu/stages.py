"""The stages, each a list of tasks with their options; the most important tasks come first."""

import re
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent.parent / "tests"

# What is in tests that run on `HEX_AI_TEST_DEVICE`.
MARKS = re.compile("device: torch.device|TEST_DEVICE|cuda")

# Name of the task, what the table calls it, and its options.
Task = tuple[str, str, dict[str, Any]]

# Batch sizes of the bare network, and chunks of self-play, that are swept.
SWEPT = (256, 512, 1024, 2048, 4096, 8192, 16384)

TINY_PLAN = {"runtime": "eager", "shapes": [8, 16]}


def stages(device: str, seconds: float, tiny: bool, workers: int) -> dict[str, list[Task]]:
    """All stages for a device; `seconds` are those of one measurement.

    Tiny ones show within a minute or two that everything runs, and measure nothing.
    """
    made = {
        "tests": tests(tiny, workers),
        "determinism": determinism(tiny),
        "ways": ways(seconds, tiny),
        "bench": bench(seconds, tiny),
        "chunks": chunks(seconds, tiny),
        "peers": peers(seconds, tiny),
        "memory": memory(tiny),
        "learn": learn(tiny),
    }
    return {
        stage: [(task, title, {"device": device} | options) for task, title, options in tasks]
        for stage, tasks in made.items()
    }


def tests(tiny: bool, workers: int) -> list[Task]:
    """Files with tests that run on the device, then all others."""
    if tiny:
        return [("tests", "one file", {"arguments": ["tests/test_host_reads.py"]})]
    spread = ["-n", str(workers), "--dist", "worksteal"] if workers > 1 else []
    files = sorted(path for path in TESTS.glob("test_*.py"))
    on_device = [path for path in files if MARKS.search(path.read_text(encoding="utf-8"))]
    groups = {"on the device": on_device, "others": sorted(set(files) - set(on_device))}
    return [
        ("tests", title, {"arguments": [*spread, *(f"tests/{path.name}" for path in group)]})
        for title, group in groups.items()
    ]


def determinism(tiny: bool) -> list[Task]:
    if tiny:
        network, games, size, flights = "8x1", 12, 5, (4, 7)
    else:
        network, games, size, flights = "64x6", 2000, 11, (1000, 333)
    base = {"games_in_flight": flights[0], "cache_size": 0, "deduplicate": False}
    variants = [
        base,
        base,
        base | {"games_in_flight": flights[1]},
        base | {"num_workers": 2},
        base | {"cache_size": 2**10, "deduplicate": True},
        base | {"cache_size": 2**17, "games_in_flight": flights[1], "num_workers": 3},
    ]
    # A name for each, so that the second run of the first is told from it.
    variants = [variant | {"max_batch_delay_ms": k / 1000} for k, variant in enumerate(variants)]
    checks: list[Task] = []
    for name, side in (("64x6", 11), ("64x6", 13), ("128x10", 13), ("resnet18", 13)):
        small = {"network": network, "board_size": size} | TINY_PLAN
        real = {"network": name, "board_size": side}
        chosen = small if tiny else real
        title = "rows {network} {board_size}x{board_size}".format(**chosen)
        checks.append(("rows", title, chosen))
    settings = {"board_size": size, "seed": 1, "temperature": 1.0}
    same = {"network": network, "games": games, "settings": settings, "variants": variants}
    proven = same | {"settings": settings | {"stop": ("proven", "resign")}, "network": "shipped"}
    more = TINY_PLAN if tiny else {}
    return [
        *checks[: 1 if tiny else None],
        ("same_games", f"games {network} {size}x{size}", same | more),
        ("same_games", f"games shipped {size}x{size}, stopped", proven | more),
    ]


def ways(seconds: float, tiny: bool) -> list[Task]:
    if tiny:
        return [
            ("ways", "8x1 5x5", {"network": "8x1", "board_size": 5, "seconds": 0.01}),
        ]
    cases = (("resnet18", 13), ("64x6", 11), ("128x10", 13), ("64x6", 13), ("shipped", 11))
    return [
        ("ways", f"{name} {size}x{size}", {"network": name, "board_size": size, "seconds": share})
        for name, size in cases
        for share in (seconds / 5,)
    ]


def bench(seconds: float, tiny: bool) -> list[Task]:
    """Every network and board with every width; those that are judged come first."""
    if tiny:
        settings = {"board_size": 5, "seconds": 0.05, "games_in_flight": 16}
        settings |= {"modes": ("cross-game", "pipelined", "full")}
        options = {"network": "8x1", "widths": (3, 2), "settings": settings} | TINY_PLAN
        return [("bench", "8x1 5x5 3,2", options)]
    cases = (("resnet18", 13), ("64x6", 13), ("128x10", 13), ("64x6", 11), ("128x10", 11))
    tasks: list[Task] = []
    for widths in ((3, 2), (8, 4), (13, 8)):
        # A leaf level of 8192 games at (13, 8) would have 851,968 rows.
        flight = {2: 8192, 4: 2048, 8: 1024}[widths[1]]
        for name, size in cases:
            judged = widths == (3, 2)
            settings = {
                "board_size": size,
                "seconds": seconds,
                "games_in_flight": flight,
                "modes": ("cross-game", "pipelined", "full") if judged else ("cross-game",),
            }
            title = f"{name} {size}x{size} {','.join(map(str, widths))}"
            tasks.append(
                ("bench", title, {"network": name, "widths": widths, "settings": settings})
            )
    return tasks


def chunks(seconds: float, tiny: bool) -> list[Task]:
    """Self-play by games in flight and by the one batch shape that it is given."""
    if tiny:
        settings = {"board_size": 5, "seconds": 0.05, "games_in_flight": 16}
        settings |= {"modes": ("cross-game",)}
        options = {"network": "8x1", "widths": (3, 2), "settings": settings}
        return [("bench", "8x1 5x5, 16 rows", options | {"runtime": "eager", "shapes": [16]})]
    tasks: list[Task] = []
    for name, size in (("resnet18", 13), ("64x6", 11)):
        for shape in SWEPT[2:]:
            settings = {
                "board_size": size,
                "seconds": seconds,
                "games_in_flight": max(4096, shape),
                "modes": ("cross-game",),
            }
            options = {"network": name, "widths": (3, 2), "settings": settings, "shapes": [shape]}
            tasks.append(("bench", f"{name} {size}x{size}, {shape} rows", options))
    return tasks


def peers(seconds: float, tiny: bool) -> list[Task]:
    size, channels, blocks, flight, batches = 11, 64, 6, 8192, "256,1024,4096"
    if tiny:
        channels, blocks, flight, batches, seconds = 8, 1, 8, "8", 0.05
    arguments = {
        "board-size": size,
        "channels": channels,
        "blocks": blocks,
        "seconds": seconds,
        "repeats": 1 if tiny else 3,
        "games-in-flight": flight,
        "batch-sizes": batches,
        "contenders": "ours,pgx_mctx",
        "limit": 900,
    }
    flags = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    return [("peers", f"{channels}x{blocks} {size}x{size} 3,2", {"arguments": flags})]


def memory(tiny: bool) -> list[Task]:
    if tiny:
        options = {"network": "8x1", "seconds": 15.0, "settings": {"board_size": 5}}
        return [("memory", "8x1 5x5", options | TINY_PLAN)]
    settings = {"board_size": 11, "seed": 3}
    return [
        ("memory", "shipped 11x11", {"network": "shipped", "seconds": None, "settings": settings})
    ]


def learn(tiny: bool) -> list[Task]:
    """Learning goes on where the last command stopped, as long as the folder is there."""
    if tiny:
        flags = "--board-sizes 3 --channels 8 --blocks 1 --games 64 --games-per-round 32 --batch 32"
        folder, seconds = "runs/gpu-learn-tiny", 60.0
    else:
        flags = (
            "--board-sizes 5,7,9,11,13 --channels 64 --blocks 6 --search-widths 4,2 --hours 0.4 "
            "--games-per-round 2048 --batch 1024 --learning-rate 0.003"
        )
        folder, seconds = "runs/gpu-learn", None
    return [
        ("learn", "5 to 13", {"arguments": flags.split(), "folder": folder, "seconds": seconds})
    ]
