# Source this from bash:  source scripts/env.sh
# Gives the shell this checkout's Python (.venv), the built workspace (install/) and DDS settings for one machine.
# What the caller has set of ROS_AUTOMATIC_DISCOVERY_RANGE and the DDS profile variables stays as it is.

if [ -z "${BASH_VERSION:-}" ]; then
    echo "scripts/env.sh: this file is for bash; type 'bash' first, then source it again" >&2
    return 1
fi
_apo_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
if [ ! -x "$_apo_root/.venv/bin/python" ] || [ ! -e "$_apo_root/install/local_setup.bash" ]; then
    echo "scripts/env.sh: $_apo_root has no $([ -x "$_apo_root/.venv/bin/python" ] && echo "built workspace (install/)" || echo ".venv") yet; type:  make -C $_apo_root setup" >&2
    unset _apo_root
    return 1
fi

# A parent that runs on the ROS wheels leaves this set; this venv's Python would then not find its libraries.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
unset PYTHONHOME
export VIRTUAL_ENV="$_apo_root/.venv"
case ":$PATH:" in
    "$VIRTUAL_ENV/bin:"* | ":$VIRTUAL_ENV/bin:"*) ;;
    *) export PATH="$VIRTUAL_ENV/bin:$PATH" ;;
esac
hash -r

# colcon's and ROS's files read variables that may not exist.
case $- in *u*) _apo_nounset=1; set +u ;; *) _apo_nounset= ;; esac
_apo_ros="$(cat "$VIRTUAL_ENV/.apo/ros_source" 2>/dev/null || echo wheels)"
if [ "$_apo_ros" != wheels ]; then
    # shellcheck disable=SC1090
    [ -n "${ROS_DISTRO:-}" ] || . "/opt/ros/$_apo_ros/setup.bash"
else
    # Set up without an installed ROS 2: the wheels inside .venv are the underlay.
    if [ -n "${ROS_DISTRO:-}" ]; then
        # two underlays at once would mix their libraries in one process
        echo "scripts/env.sh: ROS 2 $ROS_DISTRO is sourced, but this checkout was set up on the ROS wheels; to build on $ROS_DISTRO type:  make -C $_apo_root setup     (or use a shell without it)" >&2
        [ -z "$_apo_nounset" ] || set -u
        unset _apo_root _apo_nounset _apo_ros
        return 1
    fi
    case ":${AMENT_PREFIX_PATH:-}:" in
        *":$VIRTUAL_ENV:"*) ;;
        *) export AMENT_PREFIX_PATH="$VIRTUAL_ENV${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}" ;;
    esac
fi
# shellcheck disable=SC1091
. "$_apo_root/install/local_setup.bash"
[ -z "$_apo_nounset" ] || set -u

export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
# Jazzy reads the first name, Kilted and later the second.
case "$ROS_AUTOMATIC_DISCOVERY_RANGE" in LOCALHOST | OFF) _apo_dds=loopback ;; *) _apo_dds=network ;; esac
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$_apo_root/config/fastdds_$_apo_dds.xml}"
export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$FASTRTPS_DEFAULT_PROFILES_FILE}"
unset _apo_root _apo_nounset _apo_ros _apo_dds
