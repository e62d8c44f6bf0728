import pytest

from apo_core.errors import ConfigError
from apo_vla.devices import check_device


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_does_not_exist_is_an_error(device):
    with pytest.raises(ConfigError, match=f"device = '{device}' cannot be used"):
        check_device(device, "config/policy.yaml")


def test_the_cpu_can_be_used():
    check_device("cpu", "here")
