"""Makes the pictures of docs/web.md, from the real page: python tests/web_screenshots.py RUNS NAME

RUNS is a folder with runs, and NAME the run of learning to show.
"""

import io
import sys

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from web_page import ROOT, browser_path, served

FOLDER = ROOT / "docs" / "web"
GAME = "#11c1,b4,:sf6g4d8e6e5c7g5f7f5h4g6h5"


def main() -> None:
    """Writes the pictures."""
    runs, name = sys.argv[1:]
    FOLDER.mkdir(exist_ok=True)
    with served("--runs", runs) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 760})
        page.goto(address)
        for cell in (14, 60, 48):
            expect(page.locator("#status")).to_contain_text("your turn", timeout=30_000)
            page.locator(f'[data-cell="{cell}"]').click()
        expect(page.locator("#status")).to_contain_text("your turn", timeout=30_000)
        page.select_option("#depth", "deep")
        expect(page.locator("#thoughts")).to_contain_text("2000 evaluations", timeout=60_000)
        _keep(page, "play")
        page.goto("about:blank")
        page.goto(address + GAME)
        page.click("#sweep")
        expect(page.locator("#graph .curve")).to_have_count(1, timeout=60_000)
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        _keep(page, "review")
        page.goto(f"{address}#watch={name}")
        page.reload()
        expect(page.locator("#watch .plot").first).to_be_visible(timeout=60_000)
        page.wait_for_timeout(1000)
        _keep(page, "watch")
        browser.close()


def _keep(page: Page, name: str) -> None:
    """The page as it looks now, in few colours, for a small file."""
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
        FOLDER / f"{name}.png", optimize=True
    )


if __name__ == "__main__":
    main()
