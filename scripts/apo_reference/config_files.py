"""The table of generated parameter files: which dataclasses each holds, and where a value differs from its default."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from apo_bringup.session.plan import SessionConfig
from apo_console.config import ConsoleConfig
from apo_console.viewers.config import FoxgloveConfig, RerunConfig
from apo_core.adapters.trial import TrialLimits
from apo_episodes.labeling import LabelRule
from apo_experiments.base_policy.base_policy import BasePolicyConfig
from apo_experiments.compare.config import CompareConfig
from apo_experiments.config import EvaluationConfig
from apo_experiments.loop.config import CollectConfig
from apo_experiments.reproduce.config import ReproduceConfig
from apo_experiments.staged.config import StagedConfig
from apo_policy_node.config import PolicyConfig
from apo_recorder.background.config import BackgroundConfig
from apo_recorder.config import RecorderConfig
from apo_sim_bridge.config import SimBridgeConfig
from apo_sim_bridge.perturbation.settings import PERTURBATION_GROUPS
from apo_teleop.arbiter.config import ArbiterConfig
from apo_teleop.devices.config import TeleopConfig
from apo_teleop.devices.joy import JoyConfig
from apo_teleop.devices.mapping import MappingConfig
from apo_teleop.devices.profiles import ProfileConfig
from apo_teleop.devices.remote import RemoteConfig
from apo_teleop.devices.scripted_operator import ScriptedConfig
from apo_teleop.outputs.config import OutputConfig
from apo_teleop.outputs.gripper_goals import GripperActionConfig
from apo_teleop.outputs.tip_pose import TipPoseConfig
from apo_trainer.config import TrainerConfig, TrainingConfig
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.lora.shape import LoraShape
from apo_vla.serving.settings import ServingSettings


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as the code declares it."""

    name: str
    type: Any
    default: Any
    description: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The parameters of one dataclass, under a title."""

    config: type
    title: str = ""

    def parameters(self) -> Iterator[Parameter]:
        """In the order of the dataclass."""
        hints = typing.get_type_hints(self.config)
        for spec in dataclasses.fields(self.config):
            if dataclasses.is_dataclass(hints[spec.name]):  # a group is another section
                continue
            meta = spec.metadata
            choices = tuple(meta["choices"] or ())
            bounds = meta["low"], meta["high"]
            yield Parameter(spec.name, hints[spec.name], spec.default, meta["description"], *bounds, choices)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file `config/<name>.yaml`."""

    name: str
    node: str  # key of the section in the file
    header: str
    sections: tuple[Section, ...]
    values: Mapping[str, Any] = field(default_factory=dict)  # where the file differs from the defaults
    notes: Mapping[str, str] = field(default_factory=dict)  # parameter, or item of a list, -> a further comment

    @property
    def path(self) -> str:
        return f"config/{self.name}.yaml"


_PERTURBATIONS = tuple(Section(config, title) for config, title in PERTURBATION_GROUPS.items())
_PARAMS = "A params_file of your own overrides these values."
_PREFERENCE_SETTINGS = (
    "batch_size=16 optimizer=adamw learning_rate=0.0005 lora_rank=8 lora_alpha=16.0 "
    "share_expert=0.5 share_human=0.25 share_undesirable=0.25"
)
# of the best of three numbers each, measured on seeds apart (docs/explanation/measurements.md)
_PREFERENCE_STEPS = {"apo": 30, "apo_reference_compat": 30, "kto": 30, "dpo": 120, "tpo": 60, "rpro": 120}
_IMITATION_STEPS = {"apo_plus": 200, "dagger": 200, "sirius": 200}
_PAD = "buttons: A B X LB Y back RB guide start"

FILES = (
    ConfigFile(
        "arbiter",
        "/**/arbiter",
        f"The arbiter between policy and operator. {_PARAMS}",
        (
            Section(ArbiterConfig),
            Section(
                OutputConfig,
                "What the robot receives. These values are the simulation's; docs/how-to/real_arm.md has those of "
                "common arms.",
            ),
        ),
    ),
    ConfigFile(
        "base_policy",
        "base_policy",
        "`apo base-policy`: scripted demonstrations, behaviour cloning of the small VLA, evaluation on held-out seeds.",
        (Section(BasePolicyConfig),),
    ),
    ConfigFile(
        "collect",
        "collect",
        "`apo collect`: episodes of a policy with the scripted operator, without ROS.",
        (Section(CollectConfig), Section(ScriptedConfig, "The scripted operator."), *_PERTURBATIONS),
    ),
    ConfigFile(
        "compare",
        "compare",
        "`apo compare`: methods trained from the same episodes, evaluated on the same held-out seeds.",
        (
            Section(CompareConfig),
            Section(EvaluationConfig, "How success is measured; `apo evaluate` reads these parameters too."),
            *_PERTURBATIONS,
        ),
        values={
            "method_settings": (
                *(f"{method} steps={steps} {_PREFERENCE_SETTINGS}" for method, steps in _PREFERENCE_STEPS.items()),
                *(f"{method} steps={steps}" for method, steps in _IMITATION_STEPS.items()),
            )
        },
        notes={
            "method_settings": "--steps and --set of the command line win. With the trainer's steps and rate, `apo`, "
            "which does not imitate, succeeded in 0 of 60 trials (docs/explanation/measurements.md)."
        },
    ),
    ConfigFile(
        "console",
        "/**/console",
        f"The console in the browser. {_PARAMS}",
        (Section(ConsoleConfig), Section(LabelRule, "Rule of the labels that it shows, as in config/trainer.yaml.")),
    ),
    ConfigFile(
        "foxglove",
        "/**/foxglove",
        f"The topics for Foxglove (`apo foxglove`). {_PARAMS}",
        (Section(FoxgloveConfig),),
    ),
    ConfigFile(
        "gripper_action",
        "/**/gripper_action",
        f"Positions of the arbiter as goals of a gripper that has only an action. {_PARAMS}",
        (Section(GripperActionConfig),),
    ),
    ConfigFile(
        "policy",
        "/**/policy",
        f"The policy node. {_PARAMS}",
        (
            Section(PolicyConfig),
            Section(TrialLimits, "The trial of a candidate adapter (docs/how-to/adapters.md)."),
            Section(LoraShape, "Shape of the adapters, the same in config/trainer.yaml."),
            Section(ServingSettings, "How the model computes."),
        ),
    ),
    ConfigFile(
        "rerun", "/**/rerun", f"The topics for the rerun viewer (`apo rerun`). {_PARAMS}", (Section(RerunConfig),)
    ),
    ConfigFile(
        "recorder",
        "/**/recorder",
        f"The recorder. {_PARAMS}",
        (
            Section(RecorderConfig),
            Section(BackgroundConfig, "What a background process of low priority does with finished episodes."),
        ),
    ),
    ConfigFile(
        "reproduce_paper",
        "reproduce",
        "`apo reproduce --budget paper`: the paper's numbers of episodes, more trainings.",
        (Section(ReproduceConfig),),
        values={
            "tasks": ("Coffee", "StackThree", "ThreePieceAssembly", "Square"),
            "interactions": 50,
            "demonstrations": 50,
            "evaluation_episodes": 100,
            "training_seeds": 3,
        },
    ),
    ConfigFile(
        "reproduce_small",
        "reproduce",
        "`apo reproduce`: fewer episodes, one training of each method.",
        (Section(ReproduceConfig),),
    ),
    ConfigFile(
        "session",
        "session",
        "`apo demo`: rounds of deployment with the operator, training and reload, then an evaluation without operator.",
        (Section(SessionConfig), *_PERTURBATIONS),
    ),
    ConfigFile(
        "session_quick",
        "session",
        "`apo demo --quick`: the same loop, short enough for continuous integration; it has too few episodes to "
        "evaluate a policy.",
        (Section(SessionConfig), *_PERTURBATIONS),
        values={
            "rounds": 1,
            "episodes_per_round": 6,
            "evaluation_episodes": 6,
            "expert_episodes": 8,
            "train_steps": 30,
        },
    ),
    ConfigFile(
        "sim_bridge",
        "/**/sim_bridge",
        f"The simulation bridge. {_PARAMS}",
        (Section(SimBridgeConfig), *_PERTURBATIONS),
    ),
    ConfigFile(
        "staged_study",
        "staged_study",
        "`apo staged-study`: trials of good and bad adapters, replayed from recorded episodes.",
        (
            Section(StagedConfig),
            Section(TrialLimits, "The trials, as in config/policy.yaml; their shadow stage is passed over."),
        ),
    ),
    ConfigFile(
        "teleop",
        "/**/teleop",
        f"The operator's device. {_PARAMS}",
        (
            Section(TeleopConfig),
            Section(MappingConfig, "From deflection to motion."),
            Section(JoyConfig, "A joystick, gamepad or spacenav on a sensor_msgs/Joy topic."),
            Section(
                ProfileConfig,
                "Axes follow REP 103: x forward, y left, z up. A SpaceMouse reports x right, y towards the person, z "
                "down, and rx ry rz about them.",
            ),
            Section(RemoteConfig, "A browser; the console sends what it does."),
            Section(ScriptedConfig, "The scripted operator. Steps are control ticks."),
        ),
        notes={
            "default: -": "every SpaceMouse without a line of its own",
            "spacenav: +": "spacenav_node converts to REP 103",
            "gamepad: +": "left stick x y, right stick z and yaw, cross roll and pitch",
            "UniversalReceiver: MENU": "on this receiver the two buttons of a SpaceMouse Wireless are MENU and FIT",
            "gamepad: 0": _PAD,
            "xpad: 0": _PAD,
        },
    ),
    ConfigFile(
        "tip_pose",
        "/**/tip_pose",
        f"The tip's pose from the joint states, for arms whose drivers publish none. {_PARAMS}",
        (Section(TipPoseConfig),),
    ),
    ConfigFile(
        "trainer",
        "/**/trainer",
        "Training of adapters from recorded episodes, by the trainer node and by `./apo train`.",
        (
            Section(TrainingConfig, "What an adapter depends on beside its data; hashed into its manifest."),
            Section(LabelRule, "How recorded steps become labels; hashed too."),
            Section(LikelihoodSettings, "How actions are scored; hashed too."),
            Section(LoraShape, "Shape of the adapter, the same in config/policy.yaml; hashed too."),
            Section(TrainerConfig, "Paths (relative to the working directory), and how much of the machine to use."),
        ),
        values={"share_expert": 0.6, "share_human": 0.3, "share_undesirable": 0.1},
        notes={"share_expert": "the paper has 0.5, 0.25 and 0.25"},
    ),
)
