"""What requests help in a policy server, as it is configured. No ROS."""

from __future__ import annotations

from collections.abc import Callable

from apo_core.adapters.calibration import PolicyIdentity
from apo_core.adapters.calibration_file import identity
from apo_core.adapters.store import AdapterStore
from apo_core.contract.contract import Contract
from apo_core.help.features import HelpFeatures
from apo_core.served_policy import ServedPolicy
from apo_policy_node.adapters.help_watch import HelpWatch
from apo_policy_node.config import PolicyConfig
from apo_policy_node.inference.help import CalibratedHelp
from apo_policy_node.inference.uncertainty import HelpRequest


class HelpRule:
    """Makes the request of `help_rule`, and follows calibrations from `start` to `stop` where it needs them.

    Args:
        config: of the node.
        contract: of the robot at hand.
        policy: serves.
        store: of the adapters and their calibrations.
        report: receives a line when the adapter that serves has no calibration.
    """

    def __init__(
        self,
        config: PolicyConfig,
        contract: Contract,
        policy: ServedPolicy,
        store: AdapterStore,
        report: Callable[[str], None],
    ):
        self._watch: HelpWatch | None = None
        request = config.help_entropy, config.help_chunks, config.replan_steps
        if config.help_rule != "calibrated":
            self.request = HelpRequest(*request)
            return

        def identity_of(version: int) -> PolicyIdentity:
            return identity(store, version, policy.base_sha256, policy.statistics_sha256, contract.sha256)

        self._watch = HelpWatch(
            store,
            lambda: policy.adapter_version,
            identity_of,
            config.replan_steps,
            config.action_horizon,
            config.poll_s,
            report,
        )
        self.request = CalibratedHelp(
            *request, HelpFeatures(contract.action, config.replan_steps), self._watch.score_of
        )

    @property
    def warning(self) -> str:
        """Why the score that is configured is not in use; empty if it is, or need not be."""
        return self._watch.warning if self._watch is not None else ""

    def start(self) -> None:
        """Begins to follow calibrations."""
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        """Ends the thread."""
        if self._watch is not None:
            self._watch.stop()
