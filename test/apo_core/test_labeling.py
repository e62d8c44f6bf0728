import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.errors import ConfigError
from apo_core.labeling import FAILURE_RULES, LabelRule, derive_labels, intervention_share, takeovers
from apo_core.types import EpisodeKind, Outcome, StepLabel

CODES = {"P": "POLICY", "H": "HUMAN", "-": "HOLD"}
LETTERS = {
    StepLabel.DESIRABLE: "d",
    StepLabel.CORRECTED: "c",
    StepLabel.UNDESIRABLE: "u",
    StepLabel.UNUSED: ".",
}


def sources(text: str) -> list[str]:
    return [CODES[letter] for letter in text]


def labels(text: str, k: int, outcome=Outcome.SUCCESS, rule="last_k_undesirable", kind=EpisodeKind.INTERACTION) -> str:
    derived = derive_labels(sources(text), outcome, 20.0, LabelRule(undesirable_steps=k, failure_rule=rule), kind)
    return "".join(LETTERS[label] for label in derived)


@pytest.mark.parametrize(
    ("text", "k", "expected"),
    [
        ("", 3, ""),
        ("PPPP", 3, "dddd"),
        ("PPPPHH", 2, "dduucc"),
        ("PHPPPH", 10, "ucuuuc"),  # never into an earlier intervention
        ("PPHH", 10, "uucc"),  # never over the start
        ("HHPP", 3, "ccdd"),
        ("PP-PHH", 2, "dd.ucc"),  # K counts control steps, HOLD included
        ("PPP-H-HPPH", 2, "dd" + "u.c.c" + "uuc"),  # HOLD does not end an intervention
        ("PPPH", 0, "dddc"),
        ("---", 3, "..."),
    ],
)
def test_window_before_a_takeover(text, k, expected):
    assert labels(text, k) == expected


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("PPPP", "last_k_undesirable", "dduu"),
        ("PPPP", "leave_out", "...."),
        ("PPPP", "keep", "dddd"),
        ("PPHP", "last_k_undesirable", "uucd"),  # a takeover explains the failure
        ("PPHP", "leave_out", "uucd"),
    ],
)
def test_failed_episode(text, rule, expected):
    assert labels(text, 2, Outcome.FAILURE, rule) == expected


def test_demonstration_is_all_corrected():
    assert labels("HHH-", 2, Outcome.FAILURE, kind=EpisodeKind.DEMONSTRATION) == "ccc."


def test_window_in_seconds_replaces_steps():
    rule = LabelRule(undesirable_steps=10, undesirable_seconds=0.2)
    assert rule.window(20.0) == 4
    assert LabelRule(undesirable_steps=10).window(20.0) == 10
    with pytest.raises(ConfigError):
        rule.window(0.0)


def test_takeovers_and_share():
    assert takeovers(sources("PPH-HPHP-H")) == [2, 6, 9]
    assert takeovers(sources("H")) == [0]
    assert intervention_share(sources("PHP-")) == 0.25
    assert intervention_share([]) == 0.0


def oracle(text: str, k: int) -> str:
    """A policy step is undesirable if a takeover comes within k steps and no human step lies between."""
    out = []
    for i, letter in enumerate(text):
        if letter == "H":
            out.append("c")
        elif letter == "-":
            out.append(".")
        else:
            ahead = [j for j in range(i + 1, len(text)) if text[j] == "H"]
            out.append("u" if ahead and ahead[0] - i <= k else "d")
    return "".join(out)


@given(st.text("PH-", max_size=60), st.integers(0, 12))
def test_agrees_with_the_oracle(text, k):
    assert labels(text, k) == oracle(text, k)


@given(st.text("PH-", max_size=60), st.integers(0, 12), st.sampled_from(list(Outcome)))
def test_labels_never_contradict_who_acted(text, k, outcome):
    for letter, label in zip(text, labels(text, k, outcome), strict=True):
        assert label in {"H": "c", "-": ".", "P": "du"}[letter]


def slow_oracle(text: str, k: int, failed: bool, rule: str, demonstration: bool) -> str:
    """Each step by itself, from the words of the rule."""
    out = []
    for i, letter in enumerate(text):
        if (failed and "H" not in text and rule == "leave_out" and not demonstration) or letter == "-":
            out.append(".")
        elif letter == "H":
            out.append("c")
        else:
            reasons = []
            for end in range(i + 1, len(text) + 1):
                between = text[i + 1 : end]
                takeover = end < len(text) and text[end] == "H" and "H" not in between
                failure = end == len(text) and failed and "H" not in text and rule == "last_k_undesirable"
                reasons.append((takeover or failure) and end - i <= k)
            out.append("u" if any(reasons) and not demonstration else "d")
    return "".join(out)


@given(
    st.text("PH-", max_size=40),
    st.integers(0, 12),
    st.sampled_from(list(Outcome)),
    st.sampled_from(FAILURE_RULES),
    st.sampled_from(list(EpisodeKind)),
)
def test_every_rule_agrees_with_the_slow_oracle(text, k, outcome, rule, kind):
    expected = slow_oracle(text, k, outcome == Outcome.FAILURE, rule, kind == EpisodeKind.DEMONSTRATION)
    assert labels(text, k, outcome, rule, kind) == expected


@given(st.text("PH-", max_size=40), st.integers(1, 40), st.sampled_from([5.0, 10.0, 20.0, 30.0]))
def test_seconds_are_steps_at_the_rate(text, k, rate_hz):
    in_seconds = LabelRule(undesirable_steps=0, undesirable_seconds=k / rate_hz)
    in_steps = LabelRule(undesirable_steps=k)
    found = [derive_labels(sources(text), Outcome.FAILURE, rate_hz, rule) for rule in (in_seconds, in_steps)]
    assert found[0] == found[1]


def test_a_window_in_seconds_is_never_empty():
    assert LabelRule(undesirable_seconds=0.01).window(20.0) == 1


@given(st.text("PH-", max_size=40), st.text("PH-", max_size=40), st.integers(0, 12))
def test_what_comes_after_a_takeover_changes_nothing_before_it(before, after, k):
    assert labels(before + "H" + after, k)[: len(before)] == labels(before + "H", k)[: len(before)]
