"""The files of the repository and what they import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked_files(*endings: str) -> list[Path]:
    """The files of the repository whose names end with one of `endings`."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in tracked.splitlines() if name.endswith(endings) and (ROOT / name).is_file()]


def imported_names(file: Path) -> set[str]:
    """What a file imports, inside functions too: `import a.b` is `a.b`, `from a import b` is `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import in line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_distributions(package: Path) -> set[str]:
    """Top names of what a package imports from outside the standard library.

    Args:
        package: folder of its `setup.py`.
    """
    files = (package / package.name).rglob("*.py")
    names = {name.partition(".")[0] for file in files for name in imported_names(file)}
    return names - sys.stdlib_module_names
