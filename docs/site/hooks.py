"""What MkDocs asks while it builds the site: which files are pages, and in which order.

The site has the repository's own layout, so that a link from one file to another holds in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from pages import Reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
SHOWN = (
    "*.md",
    "docs/*.md",
    "docs/images/*",
    "docs/site/*.css",
    "results/[!d]*/*.md",
    "results/leaderboard/*.csv",
    "results/records/*",
)
"""Patterns of the files that the site takes from the repository; `results/docs` is the site."""
FETCHED = re.compile(r"""<(?:script|img|link rel="stylesheet")[^>]* (?:src|href)="?(https?:[^" >]*)""")
FIRST = ("docs/tutorial.md", "docs/design.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Puts the repository's files and the reference in place of those in `docs/`, and says how they are ordered."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    shown = [
        path.relative_to(ROOT).as_posix() for pattern in SHOWN for path in sorted(ROOT.glob(pattern)) if path.is_file()
    ]
    own = [File(path, str(ROOT), config.site_dir, config.use_directory_urls) for path in shown]
    reference = Reference(ROOT).pages()
    written = [File.generated(config, path, content=text) for path, text in reference.items()]
    config.nav = list(navigation(shown, list(reference)))
    return Files([*theme, *own, *written])


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> None:
    """Refuses a page that a browser could not show offline."""
    if fetched := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} fetches {fetched[1]}: put the file into docs/, the site works offline")


def navigation(shown: list[str], reference: list[str]) -> Iterator[dict[str, object]]:
    """The sections of the site, each with its pages."""
    pages = [path for path in shown if path.endswith(".md")]
    guides = sorted((path for path in pages if path.startswith("docs/")), key=lambda path: (path not in FIRST, path))
    yield {"rrrbench": ["README.md", "RULES.md", "CONTRIBUTING.md", "CHANGELOG.md"]}
    yield {"Guides": guides}
    for title in ("mitigations", "explainers", "datasets", "networks"):
        yield {title.capitalize(): [path for path in reference if path.startswith(f"reference/{title}/")]}
    yield {"Metrics": "reference/metrics.md"}
    yield {"Results": [path for path in pages if path.startswith("results/")]}
    yield {"API": by_package(path for path in reference if path.startswith("reference/api/"))}


def by_package(paths: Iterable[str]) -> list[dict[str, object]]:
    """The modules' pages, under the names of their packages."""
    modules = {Path(path).stem.removeprefix("rrrbench."): path for path in paths}
    packages: dict[str, list[object]] = {}
    for module, path in modules.items():
        inside = any(other.startswith(f"{module}.") for other in modules)
        package = module if inside else module.rpartition(".")[0]
        packages.setdefault(package, []).append({module.rpartition(".")[2]: path})
    return [{package: pages} for package, pages in sorted(packages.items())]
