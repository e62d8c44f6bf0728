import pytest

from apo_core.errors import AdapterError, CheckpointError, ConfigError
from apo_policy_node.config import PolicyConfig


@pytest.mark.parametrize("kind", [AdapterError, CheckpointError])
def test_an_unusable_file_is_reported_with_its_parameter(kind):
    config = PolicyConfig(checkpoint_dir="models/x")
    with pytest.raises(ConfigError) as caught, config.attributed_to("checkpoint_dir"):
        raise kind("config.json: cannot be read")
    assert caught.value.source == "config/policy.yaml"
    assert caught.value.faults == ["checkpoint_dir = 'models/x': config.json: cannot be read"]


def test_an_error_that_names_its_parameter_stays_as_it_is():
    with pytest.raises(ConfigError, match="device = 'gpu'"), PolicyConfig().attributed_to("checkpoint_dir"):
        raise ConfigError("config/policy.yaml", ["device = 'gpu' cannot be used"])


def test_a_staged_node_that_asks_for_signatures_signs_itself():
    with pytest.raises(ConfigError, match="signing_key = '' must name a key, since promotion = 'staged' promotes"):
        PolicyConfig(promotion="staged", adapter_public_key="a.pub")
    assert PolicyConfig(promotion="staged", adapter_public_key="a.pub", signing_key="a.key").signing_key == "a.key"
    assert PolicyConfig(promotion="staged").signing_key == ""
