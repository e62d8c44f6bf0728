"""Writes config/*.yaml and the generated pages of docs/reference; with --check lists those that are out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from apo_core.contract.contract import load_contract
from apo_reference import arbiter_page, parameter_page, topic_page
from apo_reference.config_files import FILES
from apo_reference.yaml_text import file_text

ROOT = Path(__file__).resolve().parents[2]


def generated(root: Path) -> dict[str, str]:
    """Path below the root -> content of every generated file."""
    texts = {file.path: file_text(file) for file in FILES}
    texts[parameter_page.PATH] = parameter_page.page()
    texts[topic_page.PATH] = topic_page.page(root)
    texts[arbiter_page.PATH] = arbiter_page.page(load_contract(root / "config/contract.yaml"))
    return texts


def out_of_date(root: Path) -> dict[str, str]:
    """Path -> new content of the generated files that differ from the code."""
    return {path: text for path, text in generated(root).items() if not _is_same(root / path, text)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 with --check if a file is out of date."""
    parser = argparse.ArgumentParser(prog="make reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    stale = out_of_date(ROOT)
    for path, text in stale.items():
        if not options.check:
            (ROOT / path).write_text(text)
        print(f"{path} is out of date: make reference" if options.check else f"wrote {path}")
    return 1 if options.check and stale else 0


def _is_same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
