from pathlib import Path
from xml.etree import ElementTree

import pytest

from apo_core.errors import ConfigError
from apo_core.ros.environment import check_environment, transport_environment


@pytest.mark.parametrize("environment", [{}, {"ROS_DOMAIN_ID": ""}, {"ROS_DOMAIN_ID": "0"}, {"ROS_DOMAIN_ID": "232"}])
def test_a_usable_domain_passes(environment):
    check_environment(environment)


@pytest.mark.parametrize("text", ["abc", "-1", "233", "1.5", "0x10", "010", "\u0663"])
def test_a_domain_that_no_node_can_use_is_named(text):
    with pytest.raises(ConfigError, match=rf"ROS_DOMAIN_ID = '{text}' must be a whole number of 0 .. 232"):
        check_environment({"ROS_DOMAIN_ID": text})


CONFIG = Path(__file__).resolve().parents[3] / "config"
NAMES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def settings(profile: Path, discovery_range: str) -> dict[str, str]:
    return {**dict.fromkeys(NAMES, str(profile)), "ROS_AUTOMATIC_DISCOVERY_RANGE": discovery_range}


def transports(profile: Path) -> list[str]:
    """Types of the transports that the participants of a profile use."""
    root = ElementTree.parse(profile).getroot()
    space = {"d": "http://www.eprosima.com"}
    assert root.findtext(".//d:useBuiltinTransports", namespaces=space) == "false"
    types = {
        one.findtext("d:transport_id", namespaces=space): one.findtext("d:type", namespaces=space)
        for one in root.findall(".//d:transport_descriptor", space)
    }
    return [types[used.text] for used in root.findall(".//d:userTransports/d:transport_id", space)]


@pytest.mark.parametrize(("given", "range_of_it"), [("LOCALHOST", "SYSTEM_DEFAULT"), ("OFF", "OFF")])
def test_a_process_without_images_has_no_shared_memory(given, range_of_it):
    environment = settings(CONFIG / "fastdds_loopback.xml", given)
    made = environment | transport_environment(environment, has_images=False)
    assert made == settings(CONFIG / "fastdds_loopback_udp.xml", range_of_it)
    assert transports(Path(made[NAMES[0]])) == ["UDPv4"]


def test_a_process_with_images_has_shared_memory_once():
    environment = settings(CONFIG / "fastdds_loopback.xml", "LOCALHOST")
    made = environment | transport_environment(environment, has_images=True)
    assert made == settings(CONFIG / "fastdds_loopback.xml", "SYSTEM_DEFAULT")
    assert transports(Path(made[NAMES[0]])) == ["SHM", "UDPv4"]


def test_several_machines_keep_their_range():
    environment = settings(CONFIG / "fastdds_network.xml", "SUBNET")
    made = environment | transport_environment(environment, has_images=False)
    assert made == settings(CONFIG / "fastdds_network_udp.xml", "SUBNET")
    assert transports(Path(made[NAMES[0]])) == ["UDPv4"]
    assert environment | transport_environment(environment, has_images=True) == environment


def test_a_profile_of_the_user_stays(tmp_path):
    mine = tmp_path / "fastdds_loopback.xml"
    mine.write_text("<profiles/>")
    for environment in ({}, settings(CONFIG / "mine.xml", "LOCALHOST"), settings(mine, "LOCALHOST")):
        assert transport_environment(environment, has_images=False) == {}
    # of every process of a test run, which kills many
    udp = settings(CONFIG / "fastdds_loopback_udp.xml", "SYSTEM_DEFAULT")
    assert udp | transport_environment(udp, has_images=True) == udp


def faults(environment, middlewares=("rmw_fastrtps_cpp",)) -> str:
    with pytest.raises(ConfigError) as error:
        check_environment(environment, middlewares)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("RMW_IMPLEMENTATION", "rmw_zenoh_cpp", "is not installed; installed: rmw_fastrtps_cpp; unset it"),
        ("RMW_IMPLEMENTATION", " rmw_fastrtps_cpp", "is not installed; installed: rmw_fastrtps_cpp; unset it"),
        ("FASTDDS_DEFAULT_PROFILES_FILE", "/absent.xml", "cannot be read (No such file or directory); unset it"),
        ("FASTRTPS_DEFAULT_PROFILES_FILE", "/absent.xml", "cannot be read"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "local", "must be one of: SUBNET, LOCALHOST, OFF, SYSTEM_DEFAULT"),
        ("ROS_LOCALHOST_ONLY", "yes", "must be one of: 0, 1"),
        ("OMP_NUM_THREADS", "abc", "must be a whole number of at least 1"),
        ("MKL_NUM_THREADS", "0", "must be a whole number of at least 1"),
        ("MUJOCO_GL", "vulkan", "must be one of: egl, osmesa, glfw, glx; unset it"),
    ],
)
def test_a_variable_that_nothing_can_start_with_is_named_with_its_cure(name, value, text):
    found = faults({name: value})
    assert f"{name} = {value!r}" in found and text in found


def test_all_faults_of_the_environment_are_reported_at_once():
    found = faults({"ROS_DOMAIN_ID": "x", "RMW_IMPLEMENTATION": "rmw_none", "OMP_NUM_THREADS": "-1"})
    assert all(name in found for name in ("ROS_DOMAIN_ID", "RMW_IMPLEMENTATION", "OMP_NUM_THREADS"))


def test_profiles_must_be_xml(tmp_path):
    path = tmp_path / "profiles.xml"
    path.write_text("<dds>")
    assert "is no XML" in faults({"FASTDDS_DEFAULT_PROFILES_FILE": str(path)})
    path.write_text("<dds/>")
    check_environment({"FASTDDS_DEFAULT_PROFILES_FILE": str(path)}, ())


def test_two_gl_libraries_at_once_are_rejected():
    assert "PYOPENGL_PLATFORM = 'osmesa' must be 'egl'" in faults({"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "osmesa"})


def test_usable_values_pass():
    check_environment(
        {
            "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF",
            "ROS_LOCALHOST_ONLY": "1",
            "OMP_NUM_THREADS": "4,2",
            "MUJOCO_GL": "EGL",
            "PYOPENGL_PLATFORM": "egl",
        },
        ("rmw_fastrtps_cpp",),
    )
    check_environment({"RMW_IMPLEMENTATION": "rmw_other"}, ())  # without a workspace nothing is known
