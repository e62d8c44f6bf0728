import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apo_core.errors import ConfigError
from apo_core.types import EpisodeKind, Outcome, StepLabel
from apo_episodes.labeling import (
    FAILURE_RULES,
    UNDESIRABLE_RULES,
    LabelRule,
    derive_labels,
    intervention_share,
    resting_steps,
    takeovers,
    undesirable_windows,
)
from apo_episodes.takeover_windows import StepFacts

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


@given(st.text("PH-", max_size=60), st.integers(0, 12), st.sampled_from(list(Outcome)))
def test_labels_never_contradict_who_acted(text, k, outcome):
    for letter, label in zip(text, labels(text, k, outcome), strict=True):
        assert label in {"H": "c", "-": ".", "P": "du"}[letter]


def oracle(text: str, k: int, failed: bool, rule: str, demonstration: bool) -> str:
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
    st.text("PH-", max_size=60),
    st.integers(0, 12),
    st.sampled_from(list(Outcome)),
    st.sampled_from(FAILURE_RULES),
    st.sampled_from(list(EpisodeKind)),
)
def test_every_rule_agrees_with_the_oracle(text, k, outcome, rule, kind):
    expected = oracle(text, k, outcome == Outcome.FAILURE, rule, kind == EpisodeKind.DEMONSTRATION)
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


NAN = float("nan")
STALLED = LabelRule(undesirable_steps=2, undesirable_rule="stalled")
PARTED = LabelRule(undesirable_steps=2, undesirable_rule="disagreement")


def windows(text: str, rule: LabelRule, facts: StepFacts, kind=EpisodeKind.INTERACTION) -> list[tuple]:
    """Windows as (start, end), with "last_k" behind them where they fell back."""
    found = undesirable_windows(sources(text), 20.0, rule, kind, facts)
    assert all(w.rule == ("last_k" if w.fallback else rule.undesirable_rule) for w in found)
    return [(w.start, w.end, "last_k") if w.fallback else (w.start, w.end) for w in found]


def remaining(*values: float) -> StepFacts:
    return StepFacts(task_remaining=np.array(values, np.float32))


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        # stands still at 0.1 from step 2 on
        ("PPPPPPH", [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1], (3, 6)),
        # jitter below the tolerance is no progress, and does not add up
        ("PPPPPPH", [0.2, 0.1, 0.098, 0.101, 0.097, 0.099, 0.1], (2, 6)),
        # slow progress adds up: 3 mm and 3 mm are 6
        ("PPPPPH", [0.1, 0.097, 0.094, 0.091, 0.088, 0.088], (5, 5)),
        # strayed: best at step 1, further away since
        ("PPPPPH", [0.3, 0.2, 0.25, 0.3, 0.35, 0.35], (2, 5)),
        # strayed and came back, but not below the best
        ("PPPPPH", [0.3, 0.1, 0.3, 0.2, 0.1, 0.1], (2, 5)),
        # went well up to the takeover
        ("PPPH", [0.3, 0.2, 0.1, 0.1], (3, 3)),
        # never got nearer
        ("PPPPH", [0.3, 0.3, 0.3, 0.3, 0.3], (1, 4)),
        # unknown in between
        ("PPPPPH", [0.3, NAN, 0.2, NAN, 0.2, NAN], (3, 5)),
        ("PPPPPH", [NAN, NAN, 0.2, 0.1, 0.1, NAN], (4, 5)),
        # HOLD steps count in the length; the value of the last policy step is what must be known
        ("PPPP--H", [0.3, 0.2, 0.2, 0.2, NAN, NAN, NAN], (2, 6)),
        ("PP--PPH", [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1], (3, 6)),
    ],
)
def test_a_stalled_window_begins_after_the_last_progress(text, path, expected):
    assert windows(text, STALLED, remaining(*path)) == [expected]


def test_what_was_reached_before_an_intervention_does_not_count_after_it():
    # the operator carries the cube away from 0.1 to 0.3, from where the policy gets to 0.2
    path = [0.2, 0.1, 0.1, 0.1, 0.3, 0.3, 0.2, 0.2, 0.2, 0.2]
    assert windows("PPPPHPPPPH", STALLED, remaining(*path)) == [(2, 4), (7, 9)]


def test_a_stalled_window_stops_at_an_earlier_intervention():
    path = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert windows("PPPHPPPH", STALLED, remaining(*path)) == [(1, 3), (5, 7)]


def test_a_found_window_is_not_longer_than_its_limit():
    rule = LabelRule(undesirable_rule="stalled", undesirable_max_steps=3)
    assert windows("P" * 9 + "H", rule, remaining(*[0.1] * 10)) == [(6, 9)]
    assert windows("P" * 50 + "H", STALLED, remaining(*[0.1] * 51)) == [(10, 50)]


def test_the_tolerance_is_in_the_unit_of_the_path():
    rule = LabelRule(undesirable_rule="stalled", stall_tolerance=0.5)
    assert windows("PPPPH", rule, remaining(3.0, 2.0, 1.6, 1.6, 1.6)) == [(2, 4)]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("PPPPH", StepFacts()),
        ("PPPPH", remaining(NAN, NAN, NAN, NAN, NAN)),
        ("PPPPH", remaining(NAN, NAN, NAN, 0.1, 0.1)),  # one value shows no progress
        ("PPPPH", remaining(0.3, 0.2, 0.1, NAN, 0.1)),  # how it went on is unknown
        ("PPPPH", remaining(0.3, 0.2, 0.1, float("inf"), 0.1)),
    ],
)
def test_without_known_progress_the_window_is_that_of_last_k(text, facts):
    assert windows(text, STALLED, facts) == [(2, 4, "last_k")]
    assert windows("H", STALLED, facts) == [(0, 0, "last_k")]


def test_only_the_takeover_without_facts_falls_back():
    path = remaining(0.3, 0.2, 0.2, 0.2, 0.2, NAN, NAN, NAN, NAN)
    assert windows("PPPPHPPPH", STALLED, path) == [(2, 4), (6, 8, "last_k")]
    none = LabelRule(undesirable_steps=0, undesirable_rule="stalled")
    assert windows("PPPPHPPPH", none, path) == [(2, 4), (8, 8, "last_k")]


def actions(*values: float) -> np.ndarray:
    """Two dimensions, the second always 0."""
    return np.array([[value, 0.0] for value in values], np.float32)


def parted(policy: list[float], human: list[float]) -> StepFacts:
    return StepFacts(policy_actions=actions(*policy), human_actions=actions(*human))


@pytest.mark.parametrize(
    ("text", "policy", "human", "expected"),
    [
        # mean over two dimensions: 0.8 / 2 is above 0.15, 0.1 / 2 is not
        ("PPPPHH", [0.4, 0.5, -0.3, -0.3, -0.3, -0.3], [NAN] * 4 + [0.4, 0.6], (2, 4)),
        # back to the first step that agrees, whatever was before
        ("PPPPHH", [-0.9, 0.5, -0.3, -0.3, -0.3, -0.3], [NAN] * 4 + [0.5, 0.5], (2, 4)),
        # the policy agreed in the end
        ("PPPPHH", [-0.9, -0.9, -0.9, 0.5, -0.9, -0.9], [NAN] * 4 + [0.5, 0.5], (4, 4)),
        # down to the start
        ("PPPHH", [-0.9] * 5, [NAN] * 3 + [0.5, 0.5], (0, 3)),
        # not into an earlier intervention
        ("HPPHH", [-0.9] * 5, [0.5, NAN, NAN, 0.5, 0.5], (1, 3)),
        # what the policy would have done meanwhile is what the operator did
        ("PPPPHH", [-0.9, -0.9, -0.9, -0.9, 0.5, 0.5], [NAN] * 4 + [0.5, 0.5], (4, 4)),
        # only the steps in dispute show the intent: 0.8, not the mean with 0.2, from which 0.3 would not differ
        ("PPPPHH", [0.8, 0.3, 0.3, 0.3, 0.2, 0.2], [NAN] * 4 + [0.2, 0.8], (1, 4)),
        # without shadow actions every step is in dispute
        ("PPPPHH", [0.4, 0.5, -0.3, -0.3, NAN, NAN], [NAN] * 4 + [0.4, 0.6], (2, 4)),
        # HOLD steps are passed over, before the takeover and after it
        ("PP-PH-H", [0.5, -0.3, 0.5, -0.3, -0.3, 0.5, -0.3], [NAN] * 4 + [0.4, NAN, 0.6], (1, 4)),
        # an unknown action ends the window
        ("PPPPHH", [-0.9, NAN, -0.9, -0.9, -0.9, -0.9], [NAN] * 4 + [0.5, 0.5], (2, 4)),
    ],
)
def test_a_window_of_disagreement_begins_where_policy_and_operator_part(text, policy, human, expected):
    assert windows(text, PARTED, parted(policy, human))[-1] == expected


def test_the_intent_is_taken_from_the_first_steps_of_the_intervention():
    # 0.5 at first, -0.5 later; the policy did 0.5 up to step 1
    facts = parted([0.5, 0.5, -0.5, -0.5] + [0.0] * 4, [NAN] * 4 + [0.5, 0.5, -0.5, -0.5])
    first_two = LabelRule(undesirable_rule="disagreement", disagreement_steps=2)
    assert windows("PPPPHHHH", first_two, facts) == [(2, 4)]
    # the mean of all four is 0, from which all differ
    assert windows("PPPPHHHH", PARTED, facts) == [(0, 4)]


def test_the_intent_ends_where_the_policy_takes_over():
    facts = parted([0.5, -0.5, 0.0, 0.0, 0.0], [NAN, NAN, 0.5, NAN, -0.5])
    assert windows("PPHPH", PARTED, facts)[0] == (1, 2)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("PPPPH", StepFacts()),
        ("PPPPH", parted([0.5] * 5, [NAN] * 5)),  # the operator's actions were not recorded
        ("PPPPH", parted([0.5, 0.5, 0.5, NAN, 0.5], [NAN] * 4 + [-0.5])),
        ("----H", parted([0.5] * 5, [NAN] * 4 + [-0.5])),  # no policy step
    ],
)
def test_without_the_actions_the_window_is_that_of_last_k(text, facts):
    assert windows(text, PARTED, facts) == [(2, 4, "last_k")]


def test_labels_are_those_of_the_windows():
    derived = derive_labels(
        sources("PPP-PPHHP"), Outcome.SUCCESS, 20.0, STALLED, facts=remaining(0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0, 0, 0)
    )
    assert "".join(LETTERS[label] for label in derived) == "ddu.uuccd"


def test_every_rule_marks_the_last_k_steps_of_a_plain_failure():
    for rule in (STALLED, PARTED):
        derived = derive_labels(sources("PPPP"), Outcome.FAILURE, 20.0, rule, facts=remaining(*[0.1] * 4))
        assert "".join(LETTERS[label] for label in derived) == "dduu"


def test_a_demonstration_has_no_window():
    assert windows("HHH", STALLED, remaining(0.1, 0.1, 0.1), EpisodeKind.DEMONSTRATION) == []


@st.composite
def episodes(draw):
    """Sources and facts, with gaps."""
    text = draw(st.text("PH-", max_size=40))
    number = st.one_of(st.floats(-1, 1, width=32), st.just(NAN))

    def column():
        return np.array(draw(st.lists(number, min_size=len(text), max_size=len(text))), np.float32)

    facts = StepFacts(
        column() if draw(st.booleans()) else None,
        column()[:, None] if draw(st.booleans()) else None,
        column()[:, None] if draw(st.booleans()) else None,
    )
    return text, facts


@given(
    episodes(),
    st.sampled_from(UNDESIRABLE_RULES),
    st.integers(0, 12),
    st.integers(1, 12),
    st.sampled_from(list(Outcome)),
)
def test_undesirable_steps_are_the_policy_steps_of_the_windows(episode, name, k, longest, outcome):
    text, facts = episode
    rule = LabelRule(k, undesirable_rule=name, undesirable_max_steps=longest)
    found = undesirable_windows(sources(text), 20.0, rule, facts=facts)
    plain = undesirable_windows(sources(text), 20.0, LabelRule(k))
    assert [w.end for w in found] == takeovers(sources(text))
    for window, fixed in zip(found, plain, strict=True):
        assert 0 <= window.start <= window.end
        assert "H" not in text[window.start : window.end]
        assert window.steps <= (k if window.rule == "last_k" else longest)
        if window.rule == "last_k":
            assert (window.start, window.fallback) == (fixed.start, name != "last_k")
    inside = {index for window in found for index in range(window.start, window.end)}
    if not found and outcome == Outcome.FAILURE:
        inside = set(range(max(0, len(text) - k), len(text)))
    derived = derive_labels(sources(text), outcome, 20.0, rule, facts=facts)
    undesirable = {index for index, label in enumerate(derived) if label == StepLabel.UNDESIRABLE}
    assert undesirable == {index for index in inside if text[index] == "P"}


def test_a_long_rest_of_the_operator_is_left_out_and_a_pause_is_kept():
    resting = np.repeat([False, True, False, True], [7, 10, 4, 11])
    facts, acted = StepFacts(resting=resting), sources("PP" + "H" * 30)

    def text(rule, kind=EpisodeKind.INTERACTION):
        labels = derive_labels(acted, Outcome.SUCCESS, 20.0, rule, kind, facts)
        return "".join(LETTERS[label] for label in labels)

    assert text(LabelRule(undesirable_steps=1)) == "du" + "c" * 19 + "." * 11
    assert text(LabelRule(undesirable_steps=1, rest_steps=0)) == "du" + "c" * 5 + "." * 10 + "c" * 4 + "." * 11
    assert text(LabelRule(undesirable_steps=1, rest_steps=11)) == "du" + "c" * 30
    assert text(LabelRule(rest_steps=0), EpisodeKind.DEMONSTRATION)[2:] == "c" * 30


def test_idle_hands_under_hand_back_by_button_are_no_corrections():
    facts = StepFacts(resting=np.repeat([False, True], [20, 60]))
    labels = derive_labels(sources("H" * 80), Outcome.SUCCESS, 20.0, LabelRule(), facts=facts)
    assert (labels.count(StepLabel.CORRECTED), labels.count(StepLabel.UNUSED)) == (20, 60)


def test_an_operator_at_rest_moves_neither_arm_nor_gripper():
    still, moving = [0.0] * 6, [0.0, 0.1, 0, 0, 0, 0]
    human = np.array([[*still, -1], [*moving, -1], [*still, 1], [*still, 1], [np.nan] * 7], np.float32)
    executed = np.array([[*moving, -1], [*moving, -1], [*still, 1], [*still, 1], [*still, 1]], np.float32)
    # the third step closes the gripper
    assert resting_steps(sources("HHHH-"), human, executed).tolist() == [True, False, False, True, False]
