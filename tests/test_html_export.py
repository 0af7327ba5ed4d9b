"""A game in one HTML file: what it holds, that nothing breaks out of it, and that it runs alone.

What a browser does with it is tried where there is a Chromium; it is never fetched.
"""

import ast
import json
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_layers import PACKAGE
from test_svg import record as plain_record

from hex_ai.errors import HexAIError, RecordError
from hex_ai.formats.games import find_view, game_of
from hex_ai.formats.views import view_of_game
from hex_ai.game.notation import mirror
from hex_ai.game.records import RESIGN, SWAP, GameRecord
from hex_ai.web.document import document_of, game_document
from hex_ai.web.modules import joined_modules

HOSTILE = """</script><script>alert(1)</script><!--" onload='alert(2)' &"""
MARKED = "(;GM[11]SZ[5]PB[{}]PW[B & W]RE[W+R]AB[c3]AW[d1];W[b2]LB[a1:A][e5:{}]TR[c3];B[d2];AE[c3])"
MOST_BYTES = 60_000


def searched_record(size: int, plies: int, width: int, end: str = "join") -> GameRecord:
    """A game of random cells, with random numbers of a search at every ply but the first."""
    chance = random.Random(size)
    cells = chance.sample(range(size * size), size * size)
    noise = np.random.default_rng(size)
    game = plain_record(size, cells[:plies])
    free = np.array([chance.sample(cells[ply:], min(16, width)) for ply in range(plies)], np.int16)
    free[:, 0] = game.moves
    shares = np.sort(noise.random((plies, 16)))[:, ::-1] / 16
    policy = np.array([chance.sample(cells[plies - 1 :], 16) for _ in range(plies)], np.int16)
    searched = np.arange(plies) > 0
    return replace(
        game,
        end=end,
        search=searched.astype(np.uint8),
        values=noise.uniform(-1, 1, plies).astype(np.float32) * searched,
        candidate_cells=free,
        candidate_priors=noise.random((plies, width)).astype(np.float32),
        candidate_values=noise.uniform(-1, 1, (plies, width)).astype(np.float32),
        policy_cells=policy,
        policy_probabilities=shares.astype(np.float32),
    )


def document(record: GameRecord) -> str:
    return game_document(view_of_game(game_of(record)), record)


def data_of(text: str) -> dict[str, Any]:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    loaded = json.loads(data)
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("width", [3, 12])
def test_a_long_game_is_a_small_file(width: int) -> None:
    assert len(document(searched_record(11, 80, width)).encode()) <= MOST_BYTES


def test_it_holds_what_the_search_saw() -> None:
    record = searched_record(6, 20, 4)
    steps = data_of(document(record))["steps"]
    assert len(steps) == 21
    assert "chance" not in steps[0]
    for ply in range(1, 20):
        sign = -1 if ply % 2 else 1
        assert steps[ply]["chance"] == pytest.approx(500 * (1 + sign * record.values[ply]), abs=1)
        cells, priors, chances = (steps[ply]["seen"][k::3] for k in range(3))
        assert cells == record.candidate_cells[ply].tolist()
        assert priors == pytest.approx(1000 * record.candidate_priors[ply], abs=1)
        assert chances == pytest.approx(500 * (1 + record.candidate_values[ply]), abs=1)
        likely = record.policy_probabilities[ply] >= 0.01
        assert steps[ply]["policy"][::2] == record.policy_cells[ply][likely].tolist()
    assert steps[20]["chance"] == 0  # Blue has won
    assert "chance" not in data_of(document(replace(record, end=RESIGN)))["steps"][20]


def test_steps_add_up_to_the_boards_of_the_game() -> None:
    """Moves, a swap, stones set up and taken off: all as the view has them."""
    sources = ["#5,a2a2c3d4", "https://hexworld.org/board/#5,b4:Sc3:pd1:rb", MARKED.format("", "")]
    for source in sources:
        view = find_view(source)
        stones = [0] * 25
        for step, shown in zip(data_of(game_document(view))["steps"], view.steps, strict=True):
            for cell, stone in step.get("set", [[step["what"], step["by"]]]):
                stones[cell] = stone
            board, turn = view.after(shown)
            assert stones == board.flatten().tolist()
            assert step.get("turn", -step["by"]) == turn


def test_marks_are_told_and_drawn() -> None:
    step = data_of(document_of(MARKED.format("", "two words, so")))["steps"][1]
    assert step["marks"] == [
        ["label", 0, "A"],
        ["label", 24, "two words, so"],
        ["triangle", 12, ""],
    ]
    assert step["said"][1] == "triangles: c3"


@pytest.mark.parametrize("name", [HOSTILE, "\ud800", "$title ${data} $$", "--><svg/onload=x>"])
def test_no_name_breaks_out_of_the_file(name: str) -> None:
    plain, hostile = (document_of(MARKED.format(text, text)) for text in ("x", name))
    tags = re.compile(r"<[!/a-zA-Z][^\s>]*")
    assert tags.findall(hostile) == tags.findall(plain)
    assert hostile.encode().decode() == hostile
    assert data_of(hostile)["steps"][1]["marks"][1][2] == name


def test_it_names_no_other_place() -> None:
    """Not even a place that nothing is fetched from: but for the name of SVG itself."""
    text = document(searched_record(5, 9, 3))
    assert set(re.findall(r"\w+://[^\"\s]*", text)) == {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r'(?:src|href)="(.*?)"', text)) == {"data:,"}
    assert "content=\"default-src 'none'; script-src 'sha256-" in text
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttp|import\(|\son\w+=", text)


@pytest.mark.parametrize(
    ("source", "ply", "said"),
    [("#5,a1b2", 3, "ply 3 is outside 0 to 2"), ("/nowhere", None, "no such folder or file")],
)
def test_what_cannot_be_shown_is_refused(source: str, ply: int | None, said: str) -> None:
    with pytest.raises(HexAIError, match=said):
        document_of(source, ply=ply)


def test_numbers_that_are_none_are_refused() -> None:
    record = searched_record(5, 6, 3)
    record.candidate_values[4, 1] = np.nan
    with pytest.raises(RecordError, match="game 3: ply 5 has a number that is not finite"):
        document(record)


def test_a_game_that_breaks_off_is_shown_as_far_as_it_goes() -> None:
    data = data_of(document_of("(;GM[11]SZ[5];B[a1];W[b1];B[a1];W[c3])"))
    assert len(data["steps"]) == 3
    assert any("cannot be played to its end" in note for note in data["notes"])


def test_it_is_written_without_a_web_library() -> None:
    for module in ("document", "modules"):
        tree = ast.parse((PACKAGE / "web" / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hex_ai.web"):
                assert node.module == "hex_ai.web.modules"
            elif isinstance(node, ast.Import | ast.ImportFrom):
                assert not re.search("starlette|uvicorn|app", ast.unparse(node))


def test_modules_are_joined_in_order_of_need(tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    modules = {
        "low/a.js": "// @ts-check\nconst own = 1;\n/** Said. */\nexport const one = own;\n",
        "b.js": 'import { one } from "./low/a.js";\nconst own = 2;\nexport function two() {\n'
        "  return one + own / 2;\n}\nexport class Three {}\n",
        "c.js": 'import {\n  Three,\n  two,\n} from "./b.js";\nimport { one } from "./low/a.js";\n'
        "/** @type {import('./b.js').Three} */\nconst three = new Three();\n",
    }
    for name, text in modules.items():
        (tmp_path / name).write_text(text)
    assert joined_modules(tmp_path / "c.js") == (
        "const $0 = (() => {\nconst own = 1;\nconst one = own;\nreturn { one };\n})();\n"
        "const $1 = (() => {\nconst { one } = $0;\nconst own = 2;\nfunction two() {\n"
        "return one + own / 2;\n}\nclass Three {}\nreturn { two, Three };\n})();\n"
        "const $2 = (() => {\nconst { Three, two } = $1;\nconst { one } = $0;\n"
        "const three = new Three();\nreturn {  };\n})();\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        'import "./a.js";',
        'import a from "./a.js";',
        'import * as a from "./a.js";',
        'import { a as b } from "./a.js";',
        'import { b } from "./a.js";',
        'import { a } from "elsewhere";',
        'import { a } from "./b.js";',
        'const a = await import("./a.js");',
        "export default 3;",
        "export { a };",
        "export let a = 3;",
        'export * from "./a.js";',
        "const here = import.meta.url;",
        "const a = 3; /* left */",
        "const a = '</SCRIPT>';",
        "const a = `two\n  lines`;",
    ],
)
def test_a_form_that_the_joiner_does_not_know_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "b.js").write_text(f"{line}\nexport const b = 2;\n")
    with pytest.raises(ValueError, match=r"^b\.js: "):
        joined_modules(tmp_path / "b.js")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    path = next(found, None)
    if path is None:
        pytest.skip("there is no Chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that is looked at, with all that it asked for and complained about."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))


def test_a_game_is_clicked_through_in_a_file(browser: Any, tmp_path: Path) -> None:
    record = searched_record(6, 20, 4)
    swapped = replace(record, moves=np.array([record.moves[0], SWAP, *record.moves[2:]], np.int16))
    (tmp_path / "game.html").write_text(document(swapped), encoding="utf-8")
    opened = Opened(browser)
    page = opened.page
    page.goto((tmp_path / "game.html").as_uri())
    where, stones = page.locator("#where"), page.locator("#board .stone")
    assert (where.inner_text(), stones.count()) == ("20 of 20", 19)
    page.keyboard.press("Home")
    page.click("#on")
    page.keyboard.press("ArrowRight")
    assert (where.inner_text(), stones.count()) == ("2 of 20", 1)
    assert page.locator("#status").inner_text() == "Blue swap. Red to move"
    page.keyboard.press("ArrowLeft")
    assert "if Blue had not swapped" in page.locator("#chance").inner_text()
    page.click("#moves button >> nth=7")
    page.keyboard.press("ArrowLeft")
    assert where.inner_text() == "6 of 20"
    seen = record.candidate_cells[6]
    assert page.locator("#candidates tr").count() == len(seen)
    likely = record.policy_cells[6][record.policy_probabilities[6] >= 0.01]
    taken = {mirror(int(record.moves[0]), 6)}
    for box, cells in (("policy", likely), *dict.fromkeys(("values", "priors"), seen).items()):
        for other in ("policy", "values", "priors"):
            page.set_checked(f"#show-{other}", other == box)
        assert page.locator("#board .hint").count() == len(set(cells.tolist()) - taken)
    page.locator("#graph svg").click(position={"x": 1, "y": 20})
    assert where.inner_text() == "0 of 20"
    assert "not searched" in page.locator("#chance").inner_text()
    assert (opened.asked, opened.complaints) == ([page.url], [])
    page.close()


def test_a_hostile_game_in_a_sandboxed_frame(browser: Any) -> None:
    """On a phone, in the dark: the board stands, names are text, and nothing leaves the frame."""
    text = document_of(MARKED.format(HOSTILE, HOSTILE), ply=1)
    phone = {"width": 360, "height": 740}
    opened = Opened(browser, viewport=phone, color_scheme="dark")
    page = opened.page
    page.set_content('<iframe sandbox="allow-scripts" style="border:0"></iframe>')
    page.evaluate(
        "text => { const frame = document.querySelector('iframe'); frame.width = 340;"
        "frame.height = 700; frame.srcdoc = text; }",
        text,
    )
    frame = page.frame_locator("iframe")
    assert frame.locator("h1").inner_text().startswith("</script><script>alert(1)</script>")
    assert frame.locator("#where").inner_text() == "1 of 3"
    assert frame.locator("#board .mark").count() == 3
    assert frame.locator("#search").is_hidden()
    wide, high = (frame.locator("#board svg").bounding_box()[side] for side in ("width", "height"))
    assert high > wide
    assert not [url for url in opened.asked if url not in ("about:srcdoc", "about:blank")]
    assert not opened.complaints
    page.close()


def test_without_scripts_it_shows_the_last_board_and_the_moves(browser: Any) -> None:
    opened = Opened(browser, java_script_enabled=False)
    opened.page.set_content(document_of("#5,a1b2c3"))
    assert opened.page.locator("pre").inner_text().count("●") == 2
    assert "a1 b2 c3" in opened.page.locator("body").inner_text()
    assert opened.page.locator("main").is_hidden()
    opened.page.close()
