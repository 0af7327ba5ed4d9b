"""The page in a real browser: played on, reviewed with, by pointer and by keys."""

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, expect, sync_playwright
from test_match import slow_winner
from web_page import browser_path, page_tool, playing, served

from hex_ai import SelfPlayEngine
from hex_ai.formats.games import read_line
from hex_ai.formats.sgf import read_sgf
from hex_ai.game.records import RED, SWAP

MIDDLE = 12  # c3 of a board of 5 by 5

# A game of three moves with a variation, a comment, a mark and a stone set up.
SGF = (
    "(;FF[4]GM[11]SZ[5]PB[Ada]PW[Grace]AB[a5]C[Who \\] wins?]"
    "(;B[c3];W[b4]LB[d2:X];B[d2])(;B[b2]C[Or this?];W[c3]))"
)


# The machine may be busy.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = browser_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    browser_path()
    with served() as address:
        yield address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Any]:
    """Opens the page with options of a browser's context; nothing may go wrong on it."""
    contexts, wrong = [], list[str]()

    def open_page(at: str = "", **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if _is_ours(asked.url, address) else wrong.append(asked.url),
        )
        page.goto(address + at)
        expect(page.locator("#status")).to_contain_text("to move")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _is_ours(url: str, address: str) -> bool:
    return url.startswith((address, f"blob:{address}", "data:"))


def begin(page: Page, size: int, red: str, blue: str) -> None:
    page.select_option("#red", red)
    page.select_option("#blue", blue)
    page.select_option("#size", str(size))


def fragment(page: Page) -> str:
    """What the address says of the game, a moment after it has changed."""
    page.wait_for_timeout(250)
    return page.url[page.url.index("#") :]


def cell(page: Page, number: int) -> Any:
    return page.locator(f'[data-cell="{number}"]')


def label_of(page: Page, number: int) -> str:
    return str(cell(page, number).get_attribute("aria-label"))


def stones(page: Page) -> dict[str, str]:
    """The stones of the board as a screen reader has them."""
    labels = page.locator("[data-cell]").evaluate_all(
        "cells => cells.map(cell => cell.getAttribute('aria-label'))"
    )
    words = [label.lower().split(", ") for label in labels]
    return {name: colour for name, colour, *_ in words if colour != "empty"}


def test_a_whole_game_against_level_5(opened: Any) -> None:
    page = opened()
    begin(page, 5, "you", "level:5")
    page.uncheck("#swap-rule")
    status = page.locator("#status")
    for number in (12, 7, 17, 11, 16, 8, 13, *range(25)):
        if "wins" in status.inner_text():
            break
        if "empty" in cell(page, number).get_attribute("aria-label"):
            cell(page, number).click()
            expect(status).to_contain_text(re.compile("your turn|wins"))
    expect(status).to_contain_text("wins")
    assert page.locator(".board .chain").count() >= 5
    game = read_line(fragment(page))
    assert game.board_size == 5
    winner = slow_winner(5, game.moves)
    assert winner
    assert status.inner_text().startswith("Red" if winner == RED else "Blue")


def test_swaps_both_ways(opened: Any) -> None:
    page = opened()
    begin(page, 5, "you", "level:8")
    cell(page, MIDDLE - 1).click()  # b3; the engine takes it over, at c2
    expect(page.locator("#status")).to_contain_text("Swapped. Red to move")
    assert stones(page) == {"c2": "blue"}
    begin(page, 5, "level:8", "you")
    expect(page.locator("#swap")).to_be_visible()
    ((opening, _),) = stones(page).items()
    page.click("#swap")
    expect(page.locator("#swap")).to_be_hidden()
    expect(page.locator("#status")).to_contain_text("Blue to move - your turn")
    assert read_line(fragment(page)).moves[1] == SWAP
    column, row = ord(opening[0]) - ord("a"), int(opening[1:]) - 1
    assert stones(page)[f"{chr(ord('a') + row)}{column + 1}"] == "blue"


def test_moves_are_taken_back_and_games_given_up(opened: Any) -> None:
    page = opened()
    begin(page, 5, "you", "level:1")
    page.uncheck("#swap-rule")
    cell(page, 6).click()
    expect(page.locator("#status")).to_contain_text("your turn")
    assert len(stones(page)) == 2
    page.click("#undo")
    assert stones(page) == {}
    page.click("#redo")
    assert len(stones(page)) == 2
    page.click("#resign")
    expect(page.locator("#status")).to_have_text("Blue wins by resignation")
    assert read_line(fragment(page)).end == "resign"


def test_a_move_that_is_played_again_is_answered_again(opened: Any) -> None:
    page = opened()
    begin(page, 5, "you", "level:9")
    page.uncheck("#swap-rule")
    cell(page, MIDDLE).click()
    expect(page.locator("#status")).to_contain_text("your turn")
    page.click("#back")
    assert page.locator("#status").inner_text() == "Blue to move"
    page.click("#back")
    for number in (MIDDLE, MIDDLE - 5):
        cell(page, number).click()
        expect(page.locator("#status")).to_contain_text("your turn")
        assert len(stones(page)) == 2
        page.click("#undo")


def test_the_engine_is_asked_again_after_it_was_stopped_or_failed(opened: Any) -> None:
    page = opened()
    begin(page, 11, "you", "seconds:10")
    cell(page, 60).click()
    expect(page.locator("#details")).to_contain_text("evaluations")
    changes = "new MutationObserver(all => { window.spoken = (window.spoken ?? 0) + all.length; })"
    page.evaluate(
        f"{changes}.observe(document.querySelector('.table [role=status]'),"
        " {subtree: true, childList: true, characterData: true})"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.spoken ?? 0") == 0  # the progress is not read out
    page.click("#stop")
    page.select_option("#blue", "level:1")
    expect(page.locator("#status")).to_contain_text("your turn")
    page.click("#back")
    page.click("text=Let the engine move")
    expect(page.locator("#status")).to_contain_text("your turn")
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('none')); }")
    cell(page, next(k for k in range(121) if "empty" in label_of(page, k))).click()
    expect(page.locator("#status")).to_contain_text("does not answer")
    expect(page.locator("#stop")).to_have_text("Let the engine move")


def test_answers_that_come_late_are_dropped(opened: Any) -> None:
    page = opened()
    page.click("#view-review")
    waiting = list[Any]()
    page.route("**/api/read", lambda route: waiting.append(route))
    page.fill("#text", "#5c1,c3b2")
    with page.expect_request("**/api/read"):
        page.click("#read")
    page.click("#view-play")
    begin(page, 4, "you", "you")
    cell(page, 5).click()
    with page.expect_response("**/api/read"):
        waiting[0].continue_()
    page.wait_for_timeout(100)
    assert stones(page) == {"b2": "red"}
    assert page.locator("[data-cell]").count() == 16


def test_what_another_network_said_is_not_shown(opened: Any) -> None:
    page = opened("#5c1,c3b2")
    expect(page.locator("#where")).to_have_text("2 of 2")
    found = {"value": 0.9, "proven": 0, "evaluations": 500, "seconds": 1, "line": ["d4"]}
    moves = [{"cell": "d4", "visits": 9, "value": 0.9, "policy": 0.5}]
    later = found | {"value": 0.3, "evaluations": 60}
    told = [
        f"event: done\ndata: {json.dumps(message | {'moves': moves, 'network': network})}\n\n"
        for message, network in ((found, "one"), (later, "two"), (found, "two"))
    ]
    page.route("**/api/search", lambda route: route.fulfill(body=told.pop(0)))
    page.select_option("#depth", "quick")
    expect(page.locator("#thoughts")).to_contain_text("90.0 %, 500 evaluations")
    page.select_option("#depth", "deep")
    expect(page.locator("#thoughts")).to_contain_text("30.0 %, 60 evaluations")
    page.select_option("#depth", "quick")
    expect(page.locator("#thoughts")).to_contain_text("90.0 %, 500 evaluations")


def test_a_series_of_the_engine_against_itself(opened: Any) -> None:
    page = opened()
    begin(page, 3, "level:7", "level:1")
    page.fill("#series-games", "3")
    page.click("#series-start")
    expect(page.locator("#score")).to_contain_text("of 3,", timeout=20_000)
    assert re.search(
        r"level 7 against level 1: won [0-3] of 3, \d+ % \(\d+ to \d+\)",
        page.locator("#score").inner_text(),
    )
    page.click("#series-start")
    page.click("#view-review")
    page.fill("#text", "#3c1,a1b1")
    page.click("#read")
    page.click("#view-play")
    expect(page.locator("#score")).to_have_text("")  # the game that was read is none of the series


def test_a_game_with_variations_is_reviewed_and_written_again(opened: Any) -> None:
    page = opened()
    page.click("#view-review")
    page.fill("#text", SGF)
    page.click("#read")
    expect(page.locator("#moves button")).to_have_count(6)
    assert stones(page) == {"a5": "red"}
    assert page.input_value("#comment") == "Who ] wins?"
    page.click("#moves button >> text=2. b4")
    assert stones(page) == {"a5": "red", "c3": "red", "b4": "blue"}
    assert "label X" in cell(page, 8).get_attribute("aria-label")
    page.click("#sweep")
    expect(page.locator("#graph .curve")).to_have_count(1)
    page.select_option("#depth", "quick")
    expect(page.locator("#thoughts")).to_contain_text("evaluation")
    assert page.locator(".hint").count() > 0
    page.fill("#comment", "line 1\nline 2")
    page.click("#write")
    expect(page.locator("#text")).to_have_value(re.compile(re.escape("C[line 1\nline 2]")))
    written = page.input_value("#text")
    assert "C[Or this?]" in written
    (game,) = read_sgf(written)
    assert (game.red_name, game.blue_name, len(game.moves)) == ("Ada", "Grace", 3)


def test_lists_keep_the_clicks_and_the_focus_while_they_change(opened: Any) -> None:
    page = opened("#11c1,c3b4d2,")
    expect(page.locator("#where")).to_have_text("3 of 3")
    page.fill("#comment", "written, and not left yet")
    page.click("#moves button >> text=1. c3")
    expect(page.locator("#where")).to_have_text("1 of 3")
    assert page.input_value("#comment") == ""
    assert page.evaluate("document.activeElement.innerText") == "1. c3"
    for _ in range(3):
        page.focus("#on")
        page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "on"
    page.select_option("#depth", "deep")
    best = page.locator("#best button").first
    best.scroll_into_view_if_needed()
    box = best.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.wait_for_timeout(150)
    page.mouse.up()
    expect(page.locator("#where")).to_have_text("4 of 4")


def test_stones_set_up_after_the_end_open_the_game_again(opened: Any) -> None:
    page = opened()
    page.evaluate("() => { location.hash = '#3c1,a1b1a2b2a3,'; }")
    expect(page.locator("#status")).to_have_text("Red wins")
    page.select_option("#tool", "empty")
    cell(page, 3).click()
    expect(page.locator("#status")).to_have_text("Blue to move")
    assert page.locator(".chain").count() == 0


def test_what_is_no_game_is_said_until_there_is_one(browser: Browser, address: str) -> None:
    page = browser.new_page()
    wrong = list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address + "#%E0%A4%A")
    said = page.locator("#review-said")
    expect(said).to_contain_text("no game")
    page.set_input_files(
        "#file", {"name": "huge.sgf", "mimeType": "text/plain", "buffer": b"x" * 2**21}
    )
    expect(said).to_have_text("huge.sgf is too large to be a game")
    page.fill("#text", "(;GM[11]SZ[3]PB[<b>Ada</b>]RE[W+R];B[a1])")
    page.click("#read")
    expect(said).to_have_text("1 move read")
    expect(page.locator("#names")).to_have_text("Red: <b>Ada</b> · Blue won by resignation")
    page.click("#view-play")
    page.click("#new")
    assert said.text_content() == ""
    assert wrong == []
    page.close()


def test_a_link_is_a_position(opened: Any, address: str) -> None:
    page = opened("#5c1,c3:sb2,d4")
    expect(page.locator("#where")).to_have_text("3 of 4")
    assert stones(page) == {"c3": "blue", "b2": "red"}
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(f"{address}#5c1,c3:sb2d4")


def test_keys_do_everything(opened: Any) -> None:
    page = opened()
    begin(page, 5, "you", "you")
    page.locator("#size").blur()
    press = page.keyboard.press
    for key in ("b", "ArrowUp", "ArrowLeft", "Enter"):  # from c3 to b2
        press(key)
    assert stones(page) == {"b2": "red"}
    for key in ("ArrowDown", "ArrowDown", " ", "Escape"):
        press(key)
    assert stones(page) == {"b2": "red", "b4": "blue"}
    press("Home")
    assert stones(page) == {}
    press("End")
    assert len(stones(page)) == 2
    press("ArrowLeft")
    press("s")
    assert stones(page) == {"b2": "blue"}
    press("ArrowUp")  # the variation before
    assert stones(page) == {"b2": "red", "b4": "blue"}
    press("?")
    expect(page.locator("#keys")).to_be_visible()
    press("Escape")
    press("2")
    page.focus("#comment")
    page.keyboard.type("1n")  # letters, where somebody types
    assert page.input_value("#comment") == "1n"
    expect(page.locator("#review")).to_be_visible()


def test_a_phone_upright_has_larger_cells_and_nothing_is_cut_off(opened: Any) -> None:
    sizes = {}
    for name, (width, height) in {"upright": (360, 740), "flat": (740, 360)}.items():
        page = opened(viewport={"width": width, "height": height}, has_touch=True)
        box = cell(page, 0).locator("polygon").bounding_box()
        sizes[name] = box["width"] * box["height"]
        board = page.locator("#board svg").bounding_box()
        if name == "upright":
            # As wide as the page, not turned: of 11 cells in a row, each half a cell further right.
            flat = board["width"] / (11 * 1.5 + 2)
            assert box["width"] > 1.33 * flat
            cell(page, 60).tap()
            expect(page.locator("#status")).to_contain_text(re.compile("your turn"))
    for width in (320, 3840):
        page = opened(viewport={"width": width, "height": 700})
        for view in ("#view-play", "#view-review"):
            page.click(view)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_mode_and_contrast(opened: Any) -> None:
    grounds = {
        scheme: opened(color_scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    }
    lightness = {name: sum(map(int, re.findall(r"\d+", rgb)[:3])) for name, rgb in grounds.items()}
    assert lightness["dark"] < 150 < 600 < lightness["light"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_is_found(opened: Any, scheme: str) -> None:
    axe = page_tool("axe-core/axe.min.js").read_text(encoding="utf-8")
    page = opened(bypass_csp=True, color_scheme=scheme)
    page.add_script_tag(content=axe)
    run = "axe.run()" if scheme == "light" else "axe.run({runOnly: ['color-contrast']})"
    cell(page, 60).click()
    expect(page.locator("#status")).to_contain_text("your turn")
    page.select_option("#depth", "quick")
    page.locator("#best").wait_for()
    for prepare in ("#view-play", "#view-review", "#help"):
        page.click(prepare)
        found = page.evaluate(run)["violations"]
        serious = [
            (item["id"], [node["html"][:200] for node in item["nodes"][:3]])
            for item in found
            if item["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_an_idle_page_does_nothing(opened: Any) -> None:
    page = opened()
    page.select_option("#depth", "quick")
    expect(page.locator("#thoughts")).to_contain_text("100 evaluations")
    page.wait_for_timeout(500)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(item["value"] for item in metrics if item["name"] == "TaskDuration")

    before = busy()
    time.sleep(2)
    assert busy() - before < 0.1


def test_a_run_is_watched_to_its_end_and_its_games_are_opened(
    browser: Browser, tmp_path: Path
) -> None:
    flags = "--num-games 3000 --board-size 5 --games-in-flight 64 --runtime eager"
    with served("--runs", tmp_path) as address:
        page = browser.new_page()
        page.goto(address + "#watch")
        expect(page.locator("#watch")).to_contain_text("no runs", ignore_case=True)
        with playing(tmp_path / "live", *flags.split()) as run:
            page.reload()
            page.click("#watch >> text=live")
            expect(page.locator("#watch")).to_contain_text("running")
            expect(page.locator("#watch figure svg.board").first).to_be_visible()
            expect(page.locator("#watch")).to_contain_text("Games a second")
            until = time.monotonic() + 60
            while not list((tmp_path / "live").glob("*.parquet")) and time.monotonic() < until:
                time.sleep(0.1)
            run.send_signal(signal.SIGINT)  # a run that is stopped has an end, too
        expect(page.locator("#watch")).to_contain_text("stopped")
        page.locator("#watch table button").last.click()
        expect(page.locator("#review")).to_be_visible()
        expect(page.locator("#graph .recorded")).to_have_count(1)
        page.close()


def test_a_run_that_is_broken_is_shown_and_the_others_live(
    browser: Browser, tmp_path: Path
) -> None:
    for name in ("whole", "torn", "later"):
        engine = SelfPlayEngine(
            board_size=3, search_widths=(2,), output_dir=str(tmp_path / name), runtime="eager"
        )
        list(engine.generate_games(3))
    next((tmp_path / "torn").glob("*.parquet")).write_bytes(b"PAR1")
    run = json.loads((tmp_path / "later" / "run.json").read_text())
    (tmp_path / "later" / "run.json").write_text(json.dumps(run | {"version": 99}))
    with served("--runs", tmp_path) as address:
        page = browser.new_page()
        wrong = list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address + "#watch")
        expect(page.locator("#watch")).to_contain_text("version 99")
        expect(page.locator("#watch .state-damaged")).to_have_count(2)
        page.click("#watch >> text=torn")
        expect(page.locator("#watch h2")).to_have_text("torn")
        page.goto(address + "#watch=whole")
        page.reload()
        expect(page.locator("#watch")).to_contain_text("1 to 3 of 3 games")
        with page.expect_download() as download:
            page.click("#watch >> text=TRMPH")
        assert len(download.value.path().read_text().splitlines()) == 3
        assert wrong == []
        page.close()
