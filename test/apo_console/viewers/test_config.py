import pytest

from apo_console.viewers.config import FoxgloveConfig, RerunConfig
from apo_core.errors import ConfigError


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "robot.local"])
def test_a_server_opens_to_the_network_only_on_request(host):
    with pytest.raises(ConfigError, match=f"(?s)config/foxglove.yaml.*'{host}' is open to everybody"):
        FoxgloveConfig(host=host)
    with pytest.raises(ConfigError, match=f"(?s)config/rerun.yaml.*'{host}' is open to everybody"):
        RerunConfig(host=host)
    assert FoxgloveConfig(host=host, open_to_network=True).host == host
    assert RerunConfig(host=host, viewer="running").host == host


def test_a_certificate_comes_with_its_key():
    with pytest.raises(ConfigError, match="tls_certificate and tls_key are given together"):
        FoxgloveConfig(tls_certificate="robot.pem")


@pytest.mark.parametrize(("viewer", "file"), [("file", ""), ("web", "a.rrd")])
def test_a_file_belongs_to_its_viewer(viewer, file):
    with pytest.raises(ConfigError, match=f"file = '{file}': viewer file needs one"):
        RerunConfig(viewer=viewer, file=file)
