"""Parameters of the policy node (config/policy.yaml)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from apo_core.adapters.trial import TrialLimits
from apo_core.config.parameters import group, parameter
from apo_core.content_watch import MOVED_M
from apo_core.errors import AdapterError, CheckpointError, ConfigError
from apo_core.tasks.specs import DEFAULT_TASK
from apo_policy_node.inference.chunking import CHUNKINGS
from apo_vla.lora.shape import LoraShape
from apo_vla.serving.settings import ServingSettings

PROMOTED = -1
MANUAL, GATE, STAGED = "manual", "gate", "staged"
HELP_RULES = ("entropy", "calibrated")
FILE = "config/policy.yaml"


@dataclass(frozen=True)
class PolicyConfig:
    """Which policy serves, and how."""

    contract_file: str = parameter("config/contract.yaml", "keys, topics, shapes, units, rates")
    checkpoint_dir: str = parameter(DEFAULT_TASK.checkpoint_dir, "folder of the base policy")
    adapter_dir: str = parameter("runs/adapters", "adapter store; it may appear later")
    adapter_version: int = parameter(0, "adapter served at start; 0 base policy, -1 the promoted one", low=-1)
    adapter_public_key: str = parameter(
        "", "file of public keys (PEM); only adapters and calibrations that one signed count; empty: any"
    )
    signing_key: str = parameter(
        "", "staged: private key (PEM) that signs trials and promotions of this node (apo adapters keygen); empty: none"
    )
    lora: LoraShape = group(LoraShape)
    trial: TrialLimits = group(TrialLimits)
    promotion: str = parameter(
        GATE,
        "which adapters are loaded without a request; manual: none; gate: what is promoted in the adapter store, by "
        "the trainer's gate or by hand; staged: that, and what the trainer publishes (promote: false) goes on trial",
        choices=(MANUAL, GATE, STAGED),
    )
    poll_s: float = parameter(1.0, "seconds between looks into the adapter store", low=0.05, high=3600.0)
    instruction: str = parameter(DEFAULT_TASK.instruction, "task of the policy, in words")
    replan_steps: int = parameter(2, "ticks a chunk is used before the next prediction", low=1, high=1000)
    action_horizon: int = parameter(0, "rows of a chunk predicted and executed at most; 0: all", low=0, high=1000)
    chunking: str = parameter(
        "replace",
        "how a chunk combines with those before it; ensemble: predictions of one moment are averaged; realtime: a "
        "chunk continues the one before",
        choices=CHUNKINGS,
    )
    ensemble_decay: float = parameter(
        0.01, "ensemble: the larger, the more the oldest prediction of a moment counts", low=0.0, high=10.0
    )
    committed_rows: int = parameter(
        2, "realtime: rows at most that a chunk takes over from the one before", low=1, high=1000
    )
    help_rule: str = parameter(
        "entropy",
        "what requests help; entropy: help_entropy; calibrated: the score that `./apo help calibrate` learned for the "
        "adapter that serves, and help_entropy for an adapter without one",
        choices=HELP_RULES,
    )
    help_entropy: float = parameter(
        0.0, "entropy of an action, nats, above which the policy requests help; 0: never", low=0.0, high=1000.0
    )
    help_chunks: int = parameter(
        3, "predictions in a row above help_entropy before help is requested", low=1, high=1000
    )
    frozen_content: str = parameter(
        "warn",
        "a camera, ee_pose, joint state or gripper whose content stays the same while the arm moves; warn: the policy "
        "drives on; hold: the robot holds (content_frozen) until the content changes",
        choices=("warn", "hold"),
    )
    frozen_m: float = parameter(
        MOVED_M,
        "m that the arm moves without new content before a stream counts as frozen; 0: never",
        low=0.0,
        high=10.0,
    )
    lockstep: bool = parameter(False, "simulated time waits for each command")
    command_wait_s: float = parameter(
        1.0, "lockstep: longest wait for the command of the tick before, seconds", low=0.0, high=60.0
    )
    device: str = parameter("cpu", "torch device, e.g. cpu or cuda:0")
    serving: ServingSettings = group(ServingSettings)
    torch_threads: int = parameter(1, "threads of the inference on the CPU", low=1, high=256)
    warm_up: int = parameter(2, "inferences before the node becomes active", low=1, high=100)
    sensor_reliability: str = parameter(
        "reliable",
        "QoS of cameras and state; best_effort also matches best-effort drivers",
        choices=("reliable", "best_effort"),
    )

    def __post_init__(self) -> None:
        faults = [] if self.instruction.strip() else ["instruction = '' must describe the task"]
        if self.promotion == STAGED and self.adapter_public_key and not self.signing_key:
            faults.append(
                "signing_key = '' must name a key, since promotion = 'staged' promotes and adapter_public_key asks for "
                "signatures"
            )
        if faults:
            raise ConfigError(FILE, faults)

    @contextlib.contextmanager
    def attributed_to(self, name: str) -> Iterator[None]:
        """Reports errors of the files that a parameter names as errors of that parameter."""
        try:
            yield
        except (CheckpointError, AdapterError) as error:
            raise ConfigError(FILE, [f"{name} = {getattr(self, name)!r}: {error}"]) from None
