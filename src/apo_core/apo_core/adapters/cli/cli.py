"""`apo adapters`: lists, checks, promotes and exports the adapters of a store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from apo_core.adapters.cli import commands
from apo_core.adapters.cli.transfers import add_transfers
from apo_core.system.command_line import ToolParser, json_option, run_tool

DEFAULT_STORE = "runs/adapters"
_DESCRIPTION = """\
Tools for an adapter store: the folder in which a trainer publishes adapters and from which policies load them.
The promoted version is the one that policy nodes serve, unless their promotion is manual; version 0 is the base policy.
Numbers are never used again. Exit status: 0 done, 2 an error or an adapter that is rejected.
"""


def _store(of: argparse.ArgumentParser) -> None:
    of.add_argument("--store", default=DEFAULT_STORE, metavar="FOLDER", help="adapter store (default %(default)s)")


def _version(of: argparse.ArgumentParser) -> None:
    of.add_argument("version", type=int, metavar="VERSION")


def _public_key(of: argparse.ArgumentParser) -> None:
    of.add_argument(
        "--public-key", default="", metavar="FILE", help="reject what none of these public keys (PEM) has signed"
    )


def _key(of: argparse.ArgumentParser) -> None:
    of.add_argument("--key", default="", metavar="FILE", help="private key (PEM) that signs the promotion")


def _reason(of: argparse.ArgumentParser) -> None:
    of.add_argument("--reason", default="", help="kept with the change")


def parser() -> argparse.ArgumentParser:
    """The argument parser of `apo adapters`."""
    tools = ToolParser("apo adapters", _DESCRIPTION)
    tools.add(
        "ls",
        commands.ls,
        "list adapters: method, parent, episodes, verdict, action labels, size, signature; * is promoted",
        options=[_store, json_option],
    )
    tools.add(
        "show",
        commands.show,
        "show everything about an adapter but its tensors",
        options=[_store, _version, json_option],
    )
    verify = tools.add(
        "verify",
        commands.verify,
        "check adapters",
        "Sizes, sha256 of every file, schemas, and with --public-key the signature. Exit status 2 if one is rejected.",
        [_store],
    )
    verify.add_argument("versions", nargs="*", type=int, metavar="VERSION", help="(default all)")
    _public_key(verify)
    json_option(verify)

    tools.add(
        "promote",
        commands.promote,
        "let policies serve a version; 0 is the base policy",
        options=[_store, _version, _reason, _public_key, _key],
    )
    tools.add(
        "rollback",
        commands.rollback,
        "go back to the version that was promoted before",
        "What is gone or damaged since then is passed over; at the end stands the base policy.",
        [_store, _reason, _public_key, _key],
    )
    prune = tools.add(
        "prune",
        commands.prune,
        "remove old adapters",
        "What is promoted, and what a rollback would bring back, is always kept.",
        [_store],
    )
    prune.add_argument("--keep", type=int, required=True, metavar="N", help="how many of the newest stay")

    export = tools.add(
        "export-peft",
        commands.export_peft,
        "write an adapter as a plain PEFT folder for PeftModel.from_pretrained",
        options=[_store, _version],
    )
    export.add_argument("--output", required=True, metavar="FOLDER", help="folder to be made")
    export.add_argument("--base-model", default="", metavar="NAME", help="for base_model_name_or_path")
    _public_key(export)

    keygen = tools.add("keygen", commands.keygen, "make an ed25519 key pair for signatures")
    keygen.add_argument("name", metavar="NAME", help="of the files: NAME.key (private) and NAME.pub (public)")

    sign = tools.add(
        "sign",
        commands.sign,
        "sign published adapters",
        "With each its calibration of requests for help; 0 is that of the base policy. A trainer with signing_key "
        "signs by itself.",
        [_store],
    )
    sign.add_argument("versions", nargs="+", type=int, metavar="VERSION")
    sign.add_argument("--key", required=True, metavar="FILE", help="private key (PEM)")

    add_transfers(tools, _public_key)
    return tools.root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a tool; an error goes to stderr and the exit status is 2."""
    return run_tool(parser(), argv)
