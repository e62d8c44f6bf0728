import pytest

from apo_core.errors import ConfigError
from apo_core.ros.environment import check_environment


@pytest.mark.parametrize("environment", [{}, {"ROS_DOMAIN_ID": ""}, {"ROS_DOMAIN_ID": "0"}, {"ROS_DOMAIN_ID": "232"}])
def test_a_usable_domain_passes(environment):
    check_environment(environment)


@pytest.mark.parametrize("text", ["abc", "-1", "233", "1.5", "0x10"])
def test_a_domain_that_no_node_can_use_is_named(text):
    with pytest.raises(ConfigError, match=rf"ROS_DOMAIN_ID = '{text}' must be a whole number of 0 .. 232"):
        check_environment({"ROS_DOMAIN_ID": text})
