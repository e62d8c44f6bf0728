"""The limits that CONTRIBUTING.md sets for files, folders and names."""

import ast
import re
from collections import Counter
from pathlib import Path

from source_tree import ROOT, tracked_files

MODULES = tracked_files(".py")
LINES_OF_A_FILE = 400
MODULES_OF_A_FOLDER = 15
LENGTH_OF_A_TEST_NAME = 70


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_no_file_is_too_long():
    lines = {shown(file): len(file.read_text().splitlines()) for file in MODULES}
    assert {file: n for file, n in lines.items() if n > LINES_OF_A_FILE} == {}


def test_no_folder_has_too_many_modules():
    folders = Counter(shown(file.parent) for file in MODULES if file.name != "__init__.py")
    assert {folder: n for folder, n in folders.items() if n > MODULES_OF_A_FOLDER} == {}


def test_no_test_has_too_long_a_name():
    functions = (
        (file, node.name)
        for file in MODULES
        if file.is_relative_to(ROOT / "test")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    names = [f"{shown(file)}: {name}" for file, name in functions if len(name) > LENGTH_OF_A_TEST_NAME]
    assert [name for name in names if ": test_" in name] == []


def test_contributing_states_these_limits():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert re.search(rf"at most {LENGTH_OF_A_TEST_NAME}\s+characters", page)
    assert f"at most {LINES_OF_A_FILE} lines, a folder at most {MODULES_OF_A_FOLDER} modules" in page
