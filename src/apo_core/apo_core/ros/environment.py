"""Variables of the environment that libraries below read, checked before they do.

Their own errors are tracebacks, come after seconds, or are silent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from xml.etree import ElementTree

from apo_core.errors import ConfigError

LARGEST_DOMAIN = 232  # of DDS's UDP ports (RTPS 2.3, 9.6.1.1)
_RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
# Jazzy reads the first name, Kilted and later the second.
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_PROFILES = ("fastdds_loopback", "fastdds_network")  # of scripts/env.sh; beside <name>.xml lies <name>_udp.xml
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_WHOLE = re.compile(r"0|[1-9][0-9]*")  # ROS reads 010 as 8
_COUNTS = re.compile(r"[1-9]\d*(\s*,\s*[1-9]\d*)*")  # one for each level of nested threads
GL_LIBRARIES = ("egl", "osmesa", "glfw", "glx")  # that MuJoCo renders with on Linux
_RENDERING_OFF = ("disable", "disabled", "off", "false", "0")
_RENDERING_ON = ("enable", "enabled", "on", "true", "1")
_PLATFORMS = {"egl": "egl", "osmesa": "osmesa"}  # of PyOpenGL that MuJoCo's library needs


def check_environment(environment: Mapping[str, str], middlewares: Collection[str] | None = None) -> None:
    """Checks every variable that ROS, DDS, OpenMP and the simulation's renderer read.

    Args:
        environment: variables of the process.
        middlewares: names of the installed ROS middlewares; None: those of the sourced workspace.

    Raises:
        ConfigError: values that nothing can start with, all of them, each with what it may be.
    """
    faults = [
        *_domain_faults(environment),
        *_middleware_faults(environment, _installed() if middlewares is None else middlewares),
        *_profile_faults(environment),
        *_choice_faults(environment),
        *_thread_faults(environment),
        *_renderer_faults(environment),
    ]
    if faults:
        raise ConfigError("environment", faults)


def _domain_faults(environment: Mapping[str, str]) -> list[str]:
    text = environment.get("ROS_DOMAIN_ID", "").strip()
    if not text or (_WHOLE.fullmatch(text) and int(text) <= LARGEST_DOMAIN):
        return []
    return [f"ROS_DOMAIN_ID = {text!r} must be a whole number of 0 .. {LARGEST_DOMAIN}"]


def _installed() -> Collection[str]:
    """Empty where no workspace is sourced: then nothing is known."""
    try:
        from ament_index_python import get_resources
    except ImportError:
        return ()
    try:
        return {name for name in get_resources("rmw_typesupport") if name != "rmw_implementation"}
    except LookupError:
        return ()


def _middleware_faults(environment: Mapping[str, str], installed: Collection[str]) -> list[str]:
    name = environment.get("RMW_IMPLEMENTATION", "")
    if not name or not installed or name in installed:
        return []
    known = ", ".join(sorted(installed))
    return [f"RMW_IMPLEMENTATION = {name!r} is not installed; installed: {known}; unset it, or install that package"]


def _profile_faults(environment: Mapping[str, str]) -> list[str]:
    faults = []
    for name in _PROFILE_VARIABLES:
        path = environment.get(name, "").strip()
        if not path:
            continue
        try:
            ElementTree.fromstring(Path(path).read_bytes())
        except OSError as error:
            faults.append(f"{name} = {path!r} cannot be read ({error.strerror}); unset it, or name a file of profiles")
        except ElementTree.ParseError as error:
            faults.append(f"{name} = {path!r} is no XML ({error}); unset it, or correct the file")
    return faults


def _choice_faults(environment: Mapping[str, str]) -> list[str]:
    faults = []
    for name, known in (("ROS_AUTOMATIC_DISCOVERY_RANGE", _RANGES), ("ROS_LOCALHOST_ONLY", ("0", "1"))):
        value = environment.get(name, "")
        if value and value not in known:
            faults.append(f"{name} = {value!r} must be one of: {', '.join(known)}")
    return faults


def _thread_faults(environment: Mapping[str, str]) -> list[str]:
    return [
        f"{name} = {environment[name]!r} must be a whole number of at least 1"
        for name in _THREADS
        if environment.get(name, "").strip() and not _COUNTS.fullmatch(environment[name].strip())
    ]


def _renderer_faults(environment: Mapping[str, str]) -> list[str]:
    library = environment.get("MUJOCO_GL", "").lower().strip()
    known = (*GL_LIBRARIES, *_RENDERING_ON, *_RENDERING_OFF)
    if library and library not in known:
        return [f"MUJOCO_GL = {library!r} must be one of: {', '.join(GL_LIBRARIES)}; unset it to take what works"]
    platform, needed = environment.get("PYOPENGL_PLATFORM", "").lower().strip(), _PLATFORMS.get(library, "")
    if platform and needed and platform != needed:
        return [f"PYOPENGL_PLATFORM = {platform!r} must be {needed!r} with MUJOCO_GL = {library!r}, or unset"]
    return []


def transport_environment(environment: Mapping[str, str], *, has_images: bool) -> dict[str, str]:
    """Variables that choose the transport of a process; none where the caller has chosen a profile of their own.

    A process that is killed leaves shared memory as it is at that moment, and another one that uses it can crash or
    block. So only processes with images use it, whose frames UDP would lose.

    Args:
        environment: with the profile and the range that `scripts/env.sh` has set.
        has_images: whether the process sends or receives images.
    """
    chosen = {environment[name] for name in _PROFILE_VARIABLES if environment.get(name)}
    file = Path(chosen.pop()) if len(chosen) == 1 else Path()
    name = file.stem.removesuffix("_udp")
    if name not in _PROFILES:
        return {}
    wanted = file if has_images else file.with_name(f"{name}_udp.xml")
    if not wanted.is_file():
        return {}
    made = dict.fromkeys(_PROFILE_VARIABLES, str(wanted))
    if name == "fastdds_loopback" and environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST":
        # rmw_fastrtps adds shared memory to the transports of a profile there; this profile is local by itself
        made["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    return made
