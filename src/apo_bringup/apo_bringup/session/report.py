"""What a session measured: report.json, and the table on the terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from apo_core.system.text_columns import align_columns
from apo_core.types import Outcome, Purpose
from apo_core.wilson import wilson_interval
from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.ledger import Round, as_json, format_ledger, from_json
from apo_episodes.inspection.ledger import rounds as rounds_of
from apo_trainer.states import TrainerState


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One trial as it was recorded."""

    episode_id: str
    path: str
    purpose: Purpose
    round: int
    seed: int
    adapter_version: int  # serving at the start of the trial
    outcome: Outcome  # UNLABELED: interrupted, so neither a success nor a failure
    steps: int
    takeovers: int
    intervention_share: float  # human steps / steps
    frames_recorded: int
    frames_lost: int
    seconds: float  # wall time

    @property
    def success(self) -> bool:
        return self.outcome == Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One training run."""

    round: int
    run_id: str
    state: str  # a TrainerState
    message: str
    adapter_version: int  # 0 when none was published
    steps: int
    seconds: float
    losses: tuple[tuple[int, float], ...]  # (step, loss) of each progress report
    parent: int = 0  # adapter that it trained from; 0: the base policy


@dataclass(frozen=True, slots=True)
class ReloadRecord:
    """One adapter swapped in while the robot was driven."""

    version: int
    accepted: bool
    message: str
    ticks: int  # control ticks between the request and the answer, both ends included
    ticks_missed: int
    stage_ms: float
    swap_ms: float
    response_max_ms: float  # slowest of these ticks, observation to command


@dataclass
class SessionRecord:
    """Everything a session measured."""

    config: dict
    episodes: list[EpisodeRecord] = field(default_factory=list)
    trainings: list[TrainingRecord] = field(default_factory=list)
    reloads: list[ReloadRecord] = field(default_factory=list)
    ticks: int = 0
    ticks_missed: int = 0
    takeover_latency_p50_ms: float | None = None
    takeover_latency_p99_ms: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    rate_hz: float = 20.0  # of the control loop
    seconds: float = 0.0
    stopped: str = ""  # why the session ended early; empty when it ran to its end


def _share(values: Sequence[float], weights: Sequence[int]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else 0.0


def _evaluation(episodes: Sequence[EpisodeRecord]) -> dict:
    successes = sum(e.success for e in episodes)
    return {
        "adapter_version": episodes[0].adapter_version if episodes else None,
        "n": len(episodes),
        "successes": successes,
        "success_rate": successes / len(episodes) if episodes else None,
        "ci95": list(wilson_interval(successes, len(episodes))),
        "seeds": [e.seed for e in episodes],
    }


def _ledger(episodes: Sequence[EpisodeRecord], rate_hz: float) -> list[Round]:
    """What the operator's time bought, round by round of the session."""
    found: list[Round] = []
    for index in sorted({e.round for e in episodes}):
        found += rounds_of(
            Watched(e.outcome, e.steps / rate_hz, e.takeovers, e.intervention_share, (e.adapter_version,))
            for e in episodes
            if e.round == index
        )
    return found


def build_report(record: SessionRecord, base_version: int = 0, final_version: int = 0) -> dict:
    """The contents of report.json.

    Args:
        record: what was measured.
        base_version: adapter evaluated as the base.
        final_version: adapter evaluated as the final one; equal to the base when none was published.
    """
    judged = [e for e in record.episodes if e.outcome != Outcome.UNLABELED]
    deployed = [e for e in judged if e.purpose == Purpose.DEPLOYMENT]
    evaluated = [e for e in judged if e.purpose == Purpose.EVALUATION]
    rounds = []
    for index in sorted({e.round for e in deployed}):
        episodes = [e for e in deployed if e.round == index]
        successes = sum(e.success for e in episodes)
        rounds.append(
            {
                "round": index,
                "adapter_version": episodes[0].adapter_version,
                "episodes": len(episodes),
                "successes": successes,
                "success_rate": successes / len(episodes),
                "intervention_share": _share([e.intervention_share for e in episodes], [e.steps for e in episodes]),
                "takeovers": sum(e.takeovers for e in episodes),
                "steps": sum(e.steps for e in episodes),
            }
        )
    base = [e for e in evaluated if e.adapter_version == base_version]
    final = [e for e in evaluated if e.adapter_version == final_version]
    return {
        "rounds": rounds,
        "ledger": as_json(_ledger([e for e in record.episodes if e.purpose == Purpose.DEPLOYMENT], record.rate_hz)),
        "evaluation": {"base": _evaluation(base), "final": _evaluation(final)},
        "control": {
            "ticks": record.ticks,
            "ticks_missed": record.ticks_missed,
            "reload_ticks": sum(r.ticks for r in record.reloads),
            "reload_ticks_missed": sum(r.ticks_missed for r in record.reloads),
            "reload_swap_ms": [r.swap_ms for r in record.reloads],
            "takeover_latency_ms": {"p50": record.takeover_latency_p50_ms, "p99": record.takeover_latency_p99_ms},
        },
        "frames": {
            "recorded": sum(e.frames_recorded for e in record.episodes),
            "lost": sum(e.frames_lost for e in record.episodes),
        },
        "train": {
            "steps": sum(t.steps for t in record.trainings),
            "seconds": sum(t.seconds for t in record.trainings),
            "runs": [asdict(t) for t in record.trainings],
        },
        "reloads": [asdict(r) for r in record.reloads],
        "episodes": [asdict(e) for e in record.episodes],
        "versions": record.versions,
        "seeds": {
            "deployment": [e.seed for e in record.episodes if e.purpose == Purpose.DEPLOYMENT],
            "evaluation": sorted({e.seed for e in record.episodes if e.purpose == Purpose.EVALUATION}),
            "expert_first": record.config.get("expert_seed"),
        },
        "config": record.config,
        "seconds": record.seconds,
        "stopped": record.stopped,
    }


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _deployment(rounds: Sequence[dict]) -> list[str]:
    head = ("round", "adapter", "episodes", "success", "takeovers", "driven by operator")
    rows = [
        (
            *(str(row[key]) for key in ("round", "adapter_version", "episodes")),
            _percent(row["success_rate"]),
            str(row["takeovers"]),
            _percent(row["intervention_share"]),
        )
        for row in rounds
    ]
    return align_columns([head, *rows], left=0)


def _evaluated(evaluation: dict) -> list[str]:
    head = ("policy", "adapter", "n", "success", "95 % interval")
    rows = []
    for name in ("base", "final"):
        row = evaluation[name]
        if row["n"]:
            low, high = map(_percent, row["ci95"])
            figures = str(row["adapter_version"]), str(row["n"]), _percent(row["success_rate"]), f"{low} .. {high}"
        else:
            figures = "-", "0", "", "not evaluated"
        rows.append((name, *figures))
    return align_columns([head, *rows], left=0)


def format_table(report: dict) -> str:
    """The table `apo demo` prints."""
    lines = ["", "deployment (policy with its operator)", *_deployment(report["rounds"])]
    if report["ledger"]:
        lines += [
            "",
            "operator's time by round (points of unaided success beyond the round before, a minute of that one)",
        ]
        lines += format_ledger(from_json(report["ledger"])).splitlines()
    lines += ["", "evaluation (policy alone, the same held-out seeds)", *_evaluated(report["evaluation"]), ""]
    control, latency = report["control"], report["control"]["takeover_latency_ms"]
    lines.append(
        f"control: {control['ticks']} ticks, {control['ticks_missed']} without an answer in time; "
        f"{control['reload_ticks_missed']} of {control['reload_ticks']} ticks while adapters were swapped"
    )
    if report["reloads"]:
        slowest = max(r["response_max_ms"] for r in report["reloads"])
        lines.append(
            f"reload: swap {max(control['reload_swap_ms']):.1f} ms; slowest answer to an observation {slowest:.0f} ms"
        )
    if latency["p50"] is not None:
        lines.append(f"takeover: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms from device to command")
    frames, train = report["frames"], report["train"]
    lines.append(f"frames: {frames['recorded']} recorded, {frames['lost']} lost")
    lines.append(
        f"training: {train['steps']} steps in {train['seconds']:.0f} s; whole session {report['seconds']:.0f} s"
    )
    for run in train["runs"]:
        if run["state"] != TrainerState.PUBLISHED:
            lines.append(f"  round {run['round']}: {run['state']}: {run['message']}")
    lines += [
        f"interrupted, kept without a label: {e['purpose']} episode {e['episode_id']}, seed {e['seed']}, "
        f"{e['steps']} steps"
        for e in report["episodes"]
        if e["outcome"] == Outcome.UNLABELED
    ]
    if report["stopped"]:
        lines.append(f"stopped early: {report['stopped']}; everything recorded so far is kept")
    return "\n".join(lines)
