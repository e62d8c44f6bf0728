"""`apo adapters`: lists, checks, promotes and exports the adapters of a store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apo_core.adapter_tools import commands
from apo_core.command_line import run_tool

DEFAULT_STORE = "runs/adapters"
_DESCRIPTION = """\
Tools for an adapter store: the folder in which a trainer publishes adapters and from which policies load them.
The promoted version is the one that policy nodes with auto_reload serve; version 0 is the base policy. Numbers are
never used again. Exit status: 0 done, 2 an error or an adapter that is refused.
"""


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo adapters`."""
    root = argparse.ArgumentParser(
        prog="apo adapters", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tools = root.add_subparsers(dest="tool", required=True, metavar="TOOL")

    def tool(name: str, run, text: str, details: str = "") -> argparse.ArgumentParser:
        made = tools.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {details}".strip())
        made.set_defaults(run=run)
        if run is not commands.keygen:
            made.add_argument(
                "--store", default=DEFAULT_STORE, metavar="FOLDER", help="adapter store (default %(default)s)"
            )
        return made

    def json(of: argparse.ArgumentParser) -> None:
        of.add_argument("--json", action="store_true", help="print JSON, for programs")

    def version(of: argparse.ArgumentParser) -> None:
        of.add_argument("version", type=int, metavar="VERSION")

    def public_key(of: argparse.ArgumentParser) -> None:
        of.add_argument(
            "--public-key", default="", metavar="FILE", help="refuse what none of these public keys (PEM) has signed"
        )

    def reason(of: argparse.ArgumentParser) -> None:
        of.add_argument("--reason", default="", help="kept with the change")

    json(tool("ls", commands.ls, "list adapters: method, parent, episodes, verdict, size, signature; * is promoted"))

    show = tool("show", commands.show, "tell everything about an adapter but its tensors")
    version(show), json(show)

    verify = tool(
        "verify",
        commands.verify,
        "check adapters",
        "Sizes, sha256 of every file, schemas, and with --public-key the signature. Exit status 2 if one is refused.",
    )
    verify.add_argument("versions", nargs="*", type=int, metavar="VERSION", help="(default all)")
    public_key(verify), json(verify)

    promote = tool("promote", commands.promote, "let policies serve a version; 0 is the base policy")
    version(promote), reason(promote), public_key(promote)

    rollback = tool(
        "rollback",
        commands.rollback,
        "go back to the version that was promoted before",
        "What is gone or damaged since then is passed over; at the end stands the base policy.",
    )
    reason(rollback), public_key(rollback)

    prune = tool(
        "prune",
        commands.prune,
        "remove old adapters",
        "What is promoted, and what a rollback would bring back, is always kept.",
    )
    prune.add_argument("--keep", type=int, required=True, metavar="N", help="how many of the newest stay")

    export = tool(
        "export-peft", commands.export_peft, "write an adapter as a plain PEFT folder for PeftModel.from_pretrained"
    )
    version(export)
    export.add_argument("--output", required=True, metavar="FOLDER", help="folder to be made")
    export.add_argument("--base-model", default="", metavar="NAME", help="for base_model_name_or_path")
    public_key(export)

    keygen = tool("keygen", commands.keygen, "make an ed25519 key pair for signatures")
    keygen.add_argument("name", metavar="NAME", help="of the files: NAME.key (private) and NAME.pub (public)")

    sign = tool("sign", commands.sign, "sign published adapters", "A trainer with signing_key signs by itself.")
    sign.add_argument("versions", nargs="+", type=int, metavar="VERSION")
    sign.add_argument("--key", required=True, metavar="FILE", help="private key (PEM)")
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a tool; an error goes to stderr and the exit status is 2."""
    return run_tool(parser(), argv)
