"""An HTP engine in a few lines, with faults on demand: `python htp_toy.py FAULT [MARKER]`.

It plays the first empty cell. It keeps its own board, so that it answers for what it was told.
With the path of a marker it commits its fault only as long as there is no such file, and makes it.
"""

import os
import sys
import time
from pathlib import Path


def answer(words: list[str], state: dict[str, object], fault: str) -> str:
    taken = state["taken"]
    assert isinstance(taken, set)
    if words[0] == "boardsize":
        time.sleep(2.5 if fault == "slow" else 0)
        state["size"] = int(words[1])
    elif words[0] == "param_game":
        if words[1:] != ["swap", "off"]:
            return "? unknown parameter"
        state["swaps"] = False
    elif words[0] == "clear_board":
        taken.clear()
    elif words[0] == "play":
        if words[2] in taken:
            return "? occupied"
        taken.add(words[2])
    elif words[0] == "genmove":
        if fault == "swaps" and state["swaps"] and len(taken) == 1:
            return "= swap-pieces"
        return "= " + genmove(taken, int(str(state["size"])), fault if first_time() else "first")
    return "="


def first_time() -> bool:
    for marker in map(Path, sys.argv[2:]):
        if marker.exists():
            return False
        marker.touch()
    return True


def genmove(taken: set[str], size: int, fault: str) -> str:
    if fault == "die":
        sys.exit(3)
    if fault == "mute":
        os.close(1)
    if fault in ("hang", "mute"):
        time.sleep(60)
    if fault in ("resign", "nonsense"):
        return fault
    if fault == "occupied":
        return sorted(taken)[0]
    cells = (f"{'abcdefghij'[column]}{row + 1}" for row in range(size) for column in range(size))
    return next(cell for cell in cells if cell not in taken)


def main() -> None:
    state: dict[str, object] = {"size": 11, "taken": set(), "swaps": True}
    for line in sys.stdin:
        words = line.split()
        if words:
            said = answer(words, state, sys.argv[1]) + "\n\n"
            if sys.argv[1] == "chatty":
                said = f"{words[0]}:\nlet me think\n\nthere it is\n\n{said}"
            sys.stdout.write(said * 2 if sys.argv[1] == "twice" else said)
            sys.stdout.flush()
        if words == ["quit"]:
            return


if __name__ == "__main__":
    main()
