"""Links, commands, examples and words of README.md, CONTRIBUTING.md, CHANGELOG.md and docs/."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml
from markdown_links import anchors, faults
from source_tree import ROOT, tracked_files

from apo_bringup.cli import main, parser
from apo_core.contract.contract import contract_from_dict

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^ *```bash\n(.*?)^ *```", re.M | re.S)
BLOCKS = [block for page in PAGES for block in FENCED.findall(page.read_text())]
SHELL = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]  # continued lines are joined
TOOLS = ("adapters", "episodes", "help", "policy")  # commands with tools of their own
SOURCES = tracked_files(".py", ".yaml", ".yml", ".md", ".msg", ".srv", ".sh", ".toml", "Makefile")
# as words of their own or parts of a name; `tell(` is a method of files
IDIOMS = re.compile(
    r"(?<![a-z])(tells?(?!\()|told|hears?|heard|heeds?|heeded|says?|said|saying|speaks?|spoke|spoken|speaking"
    r"|listens?|listened|listening)(?![a-z])",
    re.I,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_anchor_exists(page):
    assert list(faults(page, ROOT)) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "b.md").write_text("# One `two`: three\n## Same\n## Same\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[a](b.md) [b](b.md#one-two-three) ![c](c.png) [d](b.md#four) [e](#none) [f](../x.md) [g](https://x.y/z)\n"
        "[`h`](b.md#same-1)\n```\n[i](absent.md)\n```\n"
    )
    assert [fault.split(": ", 1)[1] for fault in faults(page, tmp_path)] == [
        "c.png: no such file",
        "b.md#four: no such heading",
        "#none: no such heading",
        "../x.md: no such file",
    ]
    assert anchors("# a_b (c): `d`\n```\n# e\n```\n") == {"a_b-c-d"}


def test_every_path_of_a_page_in_the_sources_exists():
    missing = [
        f"{file.relative_to(ROOT)}: {path}"
        for file in SOURCES
        for path in re.findall(r"(?<![\w/.])docs/[\w./-]+\.(?:md|png)", file.read_text())
        if not (ROOT / path).is_file()
    ]
    assert missing == []


def test_every_page_is_in_the_site():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)
    site = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)
    sections = [pages for entry in site["nav"] for pages in (entry.values() if isinstance(entry, dict) else [[entry]])]
    listed = [page if isinstance(page, str) else next(iter(page.values())) for pages in sections for page in pages]
    own = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
    # a page outside docs/ that the site links to has a copy there, which needs a place too
    linked, unread = set(), list(own)
    while unread:
        page = unread.pop()
        targets = {(page.parent / target).resolve() for target in re.findall(r"\]\(([^)#:]+\.md)", page.read_text())}
        found = {target for target in targets if not target.is_relative_to(ROOT / "docs")} - linked
        linked |= found
        unread += found
    copies = [f"source/{page.relative_to(ROOT)}" for page in linked]
    assert sorted(listed) == sorted([*(str(page.relative_to(ROOT / "docs")) for page in own), *copies])


@pytest.mark.parametrize("line", sorted({line.strip() for line in SHELL if line.strip().startswith("./apo ")}))
def test_every_command_of_apo_is_parsed(line, capsys):
    words = shlex.split(line, comments=True)[1:]
    words = words[: words.index("|")] if "|" in words else words
    try:
        arguments, rest = parser().parse_known_args(words)
    except SystemExit as end:
        assert end.code == 0, capsys.readouterr().err
    else:
        assert not rest or arguments.command not in ("demo", "up", "operator")


def help_of(words: list[str], capsys) -> str:
    """Help of the tool that a command line runs: of `apo episodes export lerobot ...`, that of its options."""
    depth = next((i for i, word in enumerate(words) if not re.fullmatch(r"[a-z][a-z-]*", word)), len(words))
    depth = min(depth, 3 if words[:2] == ["episodes", "export"] else 2 if words[0] in TOOLS else 1)
    with pytest.raises(SystemExit):
        main([*words[:depth], "--help"])
    return capsys.readouterr().out


def test_every_option_in_a_command_line_is_in_its_help(capsys):
    lines = [shlex.split(line, comments=True)[1:] for line in sorted(set(SHELL)) if line.startswith("./apo ")]
    commands = [words[: words.index("|")] if "|" in words else words for words in lines]
    helps: dict[str, str] = {}
    for words in commands:
        name = " ".join(itertools.takewhile(lambda word: not word.startswith("-"), words))
        for option in (word for word in words if word.startswith("--")):
            if name not in helps:
                helps[name] = help_of(words, capsys)
            assert option in helps[name], words


def test_every_target_of_make_exists():
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = "\n".join(page.read_text() for page in PAGES)
    used = re.findall(r"(?:^|`|&& )make ([a-z][a-z-]*)", text, re.M)
    assert set(used) <= known and {"demo", "docs", "test"} <= set(used)


def test_the_contract_in_the_readme_is_a_contract():
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    contract = contract_from_dict(yaml.safe_load(block), "README.md")
    assert contract.action.size == 7 and contract.limits.linear_speed == 0.25


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_machines_do_not_talk():
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in {*PAGES, *SOURCES} - {Path(__file__).resolve()}}
    found = [f"{name}: {line}" for name, text in texts.items() for line in text.splitlines() if IDIOMS.search(line)]
    assert sorted(found) == []
