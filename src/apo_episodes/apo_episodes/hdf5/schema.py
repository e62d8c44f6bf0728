"""Names and types of everything in an episode file; docs/reference/episode_format.md describes it in prose."""

from __future__ import annotations

from apo_core.types import ControlSource

SCHEMA_NAME = "apo.episode"
SCHEMA_VERSION = 2
SCHEMA_MINOR = 3  # a reader of version 2 reads every minor
# dataset -> (dtype, meaning); T steps, A action dimensions, N bytes. Images and state follow the contract.
SCHEMA = {
    "observation/images/<camera>": ("image", "(T, H, W, C) uint8 rgb or grey, uint16 depth"),
    "observation/jpeg/<camera>/bytes": ("uint8", "(N,) since 2: JPEG files one after the other, instead of the above"),
    "observation/jpeg/<camera>/end": ("int64", "(T,) since 2: where the JPEG file of a step ends"),
    "observation/video/<camera>/bytes": ("uint8", "(N,) since 2.3: H.264 packets one after the other, no images"),
    "observation/video/<camera>/end": ("int64", "(T,) since 2.3: where the packet of a step ends"),
    "observation/video/<camera>/first": ("int64", "(T,) since 2.3: the step at which decoding of a step begins"),
    "observation/video/<camera>/crc": ("uint32", "(T,) since 2.3: CRC-32 of the packet of a step"),
    "observation/state/<key>": ("float32", "(T, n) SI units of the contract"),
    "observation/stamp_ns": ("int64", "(T,) ROS time that the parts of the observation are aligned to"),
    "observation/header_stamp_ns/<stream>": ("int64", "(T,) since 2: header stamp of the sample; 0 unknown"),
    "observation/receive_ns/<stream>": ("int64", "(T,) since 2: steady clock on its arrival; 0 unknown"),
    "action/executed": ("float32", "(T, A) the executed command, contract units"),
    "action/policy": ("float32", "(T, A) the policy's action, executed or shadow; NaN without one"),
    "action/policy_tokens": ("int32", "(T, A) since 2.1, optional: emitted for action/policy; -1 unknown"),
    "action/human": ("float32", "(T, A) the operator's action; NaN without one"),
    "control/source": ("enum", "(T,) who decided: POLICY, HUMAN, HOLD"),
    "control/reason": ("str", "(T,) why"),
    "control/clipped": ("str", "(T,) since 2: contract limits that changed the action, comma separated"),
    "control/adapter_version": ("uint32", "(T,) adapter behind action/policy; 0 is the base policy"),
    "control/tick": ("int64", "(T,) control tick of the arbiter; a gap is a lost command"),
    "control/command_stamp_ns": ("int64", "(T,) ROS time of publication"),
    "control/chunk_stamp_ns": ("int64", "(T,) observation behind action/policy; 0 without one"),
    "control/receive_ns": ("int64", "(T,) steady clock of the recorder on arrival"),
    "task/remaining": ("float32", "(T,) since 2.1, optional: what is left of the task, in its own unit; NaN unknown"),
    "task/stages": (
        "int8",
        "(T, S) since 2.2, optional: 1 where a stage of `stages` is reached; -1 unknown",
    ),
}
MAX_STEPS = 10_000_000
SOURCES = {source.value: code for code, source in enumerate(ControlSource)}
