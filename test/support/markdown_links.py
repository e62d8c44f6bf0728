"""Checks the relative links of Markdown pages without building them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.M | re.S)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.M)
_MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]")


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Names of the headings in links, as GitHub and MkDocs make them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(prose(text)):
        plain = _MARKUP.sub(lambda match: match[1] or "", heading).lower()
        name = re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip())
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def faults(page: Path, root: Path) -> Iterator[str]:
    """Every broken relative link of a page.

    Args:
        page: Markdown file.
        root: folder that no link may leave.
    """
    text = prose(page.read_text())
    for link in _LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.is_relative_to(root) or not file.exists():
            yield f"{page.relative_to(root)}: {link}: no such file"
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file.read_text())):
            yield f"{page.relative_to(root)}: {link}: no such heading"
