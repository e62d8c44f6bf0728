import dataclasses

import pytest
from adapter_samples import MANIFEST

from apo_core.adapters.cli.table import format_description, format_table, summarise
from apo_core.adapters.manifest import MODEL_FILE, fields_of


def row(**changes):
    manifest = {**fields_of(MANIFEST), "number": 4, "files": {MODEL_FILE: {"bytes": 2_340_000}}, **changes}
    return summarise(manifest, promoted=False, signer="f" * 64)


def test_a_row_sums_the_manifest_up():
    short = row()
    assert (short.version, short.method, short.episodes, short.accepted) == (4, "apo", 2, True)
    assert (short.bytes, short.signer) == (2_340_000, "f" * 64)
    assert row(verdict=None).accepted is None


def test_columns_are_aligned():
    rows = [row(), dataclasses.replace(row(verdict=None), version=100_000, signer="", promoted=True)]
    lines = format_table(rows, current=100_000).splitlines()
    assert len(lines) == 4
    for title, cells in {
        "version": ["0", "4", "100000"],
        "gate": ["", "accepted", "not judged"],
        "megabytes": ["", "2.3", "2.3"],
        "signed by": ["", "f" * 12, "-"],
    }.items():
        start = lines[0].index(title)
        assert [line[start:].split("  ")[0].strip() for line in lines[1:]] == cells


@pytest.mark.parametrize(("current", "starred"), [(0, [1]), (4, [2])])
def test_the_star_is_at_what_policies_serve(current, starred):
    lines = format_table([dataclasses.replace(row(), promoted=current == 4)], current).splitlines()
    assert [index for index, line in enumerate(lines) if line.startswith("*")] == starred


def test_a_description_nests_by_indentation():
    facts = {"a": {"b": {"c": 0.123456789}, "empty": {}}, "names": ["x", 2.0], "none": None, "text": "", "flag": False}
    assert format_description(facts).splitlines() == [
        "a:",
        "  b:",
        "    c: 0.123457",
        "  empty: -",
        "names: x, 2",
        "none: -",
        "text: -",
        "flag: False",
    ]
