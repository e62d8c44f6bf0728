"""Pages link to files of the repository; the site has copies of them under `source/`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")
_COPIES = "source"


def on_files(files: Files, config: Any) -> Files:
    """Adds every file outside docs/ that a page links to."""
    for page in files.documentation_pages():
        for _, target in _LINK.findall(Path(page.abs_src_path).read_text()):
            path = _in_repository(page.src_uri, target)
            if path and (ROOT / path).is_file() and f"{_COPIES}/{path}" not in files.src_uris:
                files.append(File.generated(config, f"{_COPIES}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points such links at the copies."""

    def link(match: re.Match[str]) -> str:
        path = _in_repository(page.file.src_uri, match[2])
        copy = posixpath.relpath(f"{_COPIES}/{path}", posixpath.dirname(page.file.src_uri) or ".")
        return f"{match[1]}{copy}" if path else match[0]

    return _LINK.sub(link, markdown)


def _in_repository(page: str, target: str) -> str:
    """Path below the root of a link that leaves docs/, else empty."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return "" if path.startswith(("docs/", "..")) else path
