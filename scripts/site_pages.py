"""Hook of mkdocs: takes the pages beside docs/ into the site, and bends their links to fit.

`README.md` becomes the first page. A link to a file that is no page, such as a test or an example,
becomes its path as plain text.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in TOP.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    name = page.file.src_uri
    folder = "" if name in TOP.values() else "docs"

    def bent(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        path = os.path.normpath(PurePosixPath(folder, target)).removeprefix("docs/")
        path = TOP.get(path, path)
        if not target or files.get_file_from_path(path):
            return f"[{match[1]}]({path if target else ''}{'#' if anchor else ''}{anchor})"
        return match[1] if path.endswith(match[1]) else f"{match[1]} (`{path}`)"

    markdown = re.sub(r"\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)", bent, markdown)
    return markdown.replace('src="docs/', 'src="')
