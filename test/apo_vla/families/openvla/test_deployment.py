import pytest

from apo_core.errors import ConfigError
from apo_vla.families.openvla.deployment import OpenVlaDeployment, rate_notes
from apo_vla.families.openvla.processor import PROMPT


def test_the_prompt_is_openvla_s_own():
    assert OpenVlaDeployment().prompt == PROMPT
    assert OpenVlaDeployment(prompt="do {instruction}, {instruction}").prompt


@pytest.mark.parametrize("prompt", ["go", "do {instruction} {x}", "do {}", "{instruction"])
def test_a_prompt_holds_the_instruction_alone(prompt):
    with pytest.raises(ConfigError, match=r"must contain \{instruction\}, and no other braces"):
        OpenVlaDeployment(prompt=prompt)


def test_faults_of_all_parameters_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        OpenVlaDeployment(prompt="go", cameras=("a", "a"), action_scale=(0.0,))
    assert len(error.value.faults) == 3


@pytest.mark.parametrize(
    ("key", "period_s", "rate"),
    [("bridge_orig", 0.05, "5"), ("libero_goal_no_noops", 0.2, "20"), ("fractal20220817_data", 0.2, "3")],
)
def test_another_rate_than_that_of_the_data_is_noted(key, period_s, rate):
    (note,) = rate_notes(key, OpenVlaDeployment(period_s=period_s))
    assert note.startswith(f"period_s = {period_s} (deployment.yaml), the data of '{key}' have {rate} Hz")
    assert rate_notes(key, OpenVlaDeployment(period_s=1 / float(rate))) == rate_notes("mine", OpenVlaDeployment()) == []
