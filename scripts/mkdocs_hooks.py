"""Pages link to files of the repository; the site has copies of them under `source/`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()((?!https?:|mailto:)[^)#\s]+)")
_COPIES, _DOCS = "source/", "docs/"


def on_files(files: Files, config: Any) -> Files:
    """Adds every file outside docs/ that a page, or a copy of a page, links to."""
    pages = [(page.src_uri, Path(page.abs_src_path)) for page in files.documentation_pages()]
    for uri, file in pages:  # grows
        for _, target in _LINK.findall(file.read_text()):
            path = _in_repository(uri, target)
            copy = _COPIES + path
            if path.startswith((_DOCS, "..")) or not (ROOT / path).is_file() or copy in files.src_uris:
                continue
            files.append(File.generated(config, copy, abs_src_path=str(ROOT / path)))
            if path.endswith(".md"):
                pages.append((copy, ROOT / path))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points links from a page to the repository at the copies, and those from a copy to docs/ at the pages."""
    uri = page.file.src_uri

    def link(match: re.Match[str]) -> str:
        path = _in_repository(uri, match[2])
        if path.startswith("..") or not (ROOT / path).exists():
            return match[0]
        there = path.removeprefix(_DOCS) if path.startswith(_DOCS) else _COPIES + path
        return match[1] + posixpath.relpath(there, posixpath.dirname(uri) or ".")

    return _LINK.sub(link, markdown)


def _in_repository(uri: str, target: str) -> str:
    """Path from the root of what a page, or a copy, links to."""
    own = uri.removeprefix(_COPIES) if uri.startswith(_COPIES) else _DOCS + uri
    return posixpath.normpath(posixpath.join(posixpath.dirname(own), target))
