import pytest

from apo_core import errors
from apo_core.errors import ApoError, ConfigError


def test_a_config_error_lists_every_fault_with_its_place():
    error = ConfigError("config/policy.yaml", ["rate_hz = 0 must be above 0", "device = 'abacus' is unknown"])
    assert str(error) == (
        "config/policy.yaml: 2 fault(s)\n  - rate_hz = 0 must be above 0\n  - device = 'abacus' is unknown"
    )


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith("Error")])
def test_every_error_of_apo_is_caught_by_its_base(name):
    assert issubclass(getattr(errors, name), ApoError)
