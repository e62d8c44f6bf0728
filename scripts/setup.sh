#!/usr/bin/env bash
# Prepares this checkout: .venv with the pinned packages, then the colcon workspace in build/ and install/.
# usage: scripts/setup.sh [--build | --packages]
#   --build: run colcon even where nothing that it reads has changed; --packages: stop before colcon
# Each step keeps a stamp with a hash of its inputs in .venv/.apo, so a second run only does what changed.
set -euo pipefail
trap 'echo "setup: line $LINENO of scripts/setup.sh failed: $BASH_COMMAND" >&2' ERR

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$ROOT"
SELF="$ROOT/scripts/setup.sh"
VENV="$ROOT/.venv"
STATE="$VENV/.apo"
FORCE_BUILD=0
PACKAGES_ONLY=0
case "${1:-}" in
    "") ;;
    --build) FORCE_BUILD=1 ;;
    --packages) PACKAGES_ONLY=1 ;;
    *) echo "setup: unknown argument '$1'; usage: scripts/setup.sh [--build | --packages]" >&2; exit 2 ;;
esac

# Inherited from a parent that runs on the ROS wheels, it would stop this venv's Python from finding its libraries.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
# colcon and pip must see this venv only, not one that the caller has activated.
unset VIRTUAL_ENV PYTHONHOME
# Nor may it take the Python of the very environment that it may have to replace.
PATH="$(printf '%s' "$PATH" | tr ':' '\n' | grep -vxF "$PWD/.venv/bin" | paste -sd: -)"

die() {
    printf 'setup: %s\n' "$1" >&2
    shift
    printf '       %s\n' "$@" >&2
    exit 1
}

hash_of() { sha256sum | cut -c1-16; }
stamp_is() { [ "$(cat "$STATE/$1.stamp" 2>/dev/null)" = "$2" ]; }
set_stamp() { mkdir -p "$STATE" && printf '%s' "$2" >"$STATE/$1.stamp.new" && mv "$STATE/$1.stamp.new" "$STATE/$1.stamp"; }

# What the line of a step at work shows: pip prints nothing while it unpacks, so its packages are counted.
progress() {
    case "$1" in
        */pip.log) echo "$(compgen -G "$VENV/lib/python3*/site-packages/*.dist-info" | wc -l) of about $(grep -c == requirements/lock.txt) packages" ;;
        *) grep -v WARNING "$1" | tail -n 1 | tr -d '\r' | cut -c1-100 ;;
    esac
}

# run_logged LOG WHAT COMMAND...: output goes to LOG; every 15 s a line reports that it is still at work; a failure shows the log's end.
run_logged() {
    local log="$1" what="$2" start=$SECONDS pid shown=$SECONDS rc=0
    shift 2
    mkdir -p "$(dirname "$log")"
    # A process group of its own, so that an interrupt ends all of it and no pip goes on alone.
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    trap 'kill -- "-$pid" 2>/dev/null; echo "setup: interrupted during $what; make setup goes on from there" >&2; exit 130' INT TERM HUP
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            printf '      %3d s  %s\n' $((SECONDS - start)) "$(progress "$log" || true)"
        fi
    done
    wait "$pid" || rc=$?
    trap - INT TERM HUP
    if ((rc != 0)); then
        {
            echo "setup: $what failed (exit status $rc). The errors in ${log#"$ROOT"/} and its last lines:"
            { grep -nE '([A-Za-z]+Error|error|ERROR|E): ' "$log" | tail -n 5 || true; echo ...; tail -n 15 "$log"; } | cut -c1-250 | sed 's/^/    | /'
            echo "       Full log: $log. After mending the cause type 'make setup' again; finished steps are kept."
        } >&2
        exit 1
    fi
    printf '      done in %d s\n' $((SECONDS - start))
}

# ---- the machine
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    die "this machine is $(uname -s) $(uname -m); apo needs Linux on x86-64." \
        "The pinned packages, ROS 2 among them, exist for x86-64 only. Use docker/ on an x86-64 machine."
case "$ROOT" in
    *[[:space:]]*)
        die "the path of this checkout has a space in it: $ROOT" \
            "colcon's files and the first line of Python programs cannot hold one. Move the checkout, then type 'make setup' again."
        ;;
esac

# A checkout that was set up on an installed ROS 2 stays on it in shells that have not sourced it.
saved_ros="$(cat "$STATE/ros_source" 2>/dev/null || echo wheels)"
if [ -z "${ROS_DISTRO:-}" ] && [ -e "/opt/ros/$saved_ros/setup.bash" ]; then
    set +u
    # shellcheck disable=SC1090
    . "/opt/ros/$saved_ros/setup.bash"
    set -u
fi

find_python() {
    local candidate found system=""
    # The Python below an activated environment, which may go; .venv is made anew when this one changes.
    local base='import os, sys
v = sys.version_info[:2]
base = f"{sys.base_exec_prefix}/bin/python{v[0]}.{v[1]}"
print((base if os.access(base, os.X_OK) else sys.executable) if v in ((3, 11), (3, 12)) else "")'
    # A sourced ROS 2 belongs to the system's Python, whatever comes first in PATH.
    if [ -n "${ROS_DISTRO:-}" ]; then system=/usr/bin/python3; fi
    for candidate in ${APO_PYTHON:-} $system python3 python3.12 python3.11 /usr/bin/python3 /usr/bin/python3.12 /usr/bin/python3.11; do
        found="$("$candidate" -c "$base" 2>/dev/null || true)"
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
    done
}
PYTHON="$(find_python)"
if [ -z "$PYTHON" ]; then
    have="$(python3 --version 2>/dev/null || true)"
    die "no Python 3.11 or 3.12 found (python3 here: ${have:-none})." \
        "The ROS 2 wheels are built for these two. Install one, for example:" \
        "    sudo apt-get install python3.12 python3.12-venv python3.12-dev    (Ubuntu 24.04)" \
        "    sudo apt-get install python3 python3-venv python3-dev             (Debian 12)" \
        "or name one that is elsewhere:  APO_PYTHON=/path/to/python3.12 make setup"
fi
PYTHON_VERSION="$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

ROS_SOURCE=wheels
if [ -n "${ROS_DISTRO:-}" ]; then
    case "$ROS_DISTRO" in
        jazzy | kilted) ROS_SOURCE="$ROS_DISTRO" ;;
        *)
            die "ROS 2 '$ROS_DISTRO' is sourced in this shell (ROS_DISTRO); apo runs on Jazzy or Kilted." \
                "Source one of these, or open a shell without ROS: apo then brings ROS 2 Jazzy along as Python wheels."
            ;;
    esac
    "$PYTHON" -c 'import rclpy' 2>/dev/null ||
        die "ROS_DISTRO=$ROS_DISTRO is set, but $PYTHON (Python $PYTHON_VERSION) cannot import rclpy." \
            "Type:  source /opt/ros/$ROS_DISTRO/setup.bash     (or 'unset ROS_DISTRO' to use the Python wheels of ROS 2)" \
            "or name the Python that ROS was built for:  APO_PYTHON=/usr/bin/python3 make setup"
else
    # pip takes what lies there for installed, and colcon then lacks it; an installed ROS needs its own
    unset PYTHONPATH
fi

# One setup at a time in a checkout; the lock goes with the process.
exec 9<"$SELF"
if ! flock -n 9; then
    echo "setup: another setup runs in this checkout; waiting for it"
    flock 9
fi

# ---- system packages
# Looked for by what they provide, not by package name, so that it holds on Debian, Ubuntu and others alike.
missing_system_packages() {
    local libs dirs python_prefix
    libs="$({ /sbin/ldconfig -p || ldconfig -p; } 2>/dev/null)"
    has_lib() { grep -qF "$1" <<<"$libs"; }
    has_any() { compgen -G "$1" >/dev/null || compgen -G "$2" >/dev/null; }
    command -v g++ >/dev/null && command -v make >/dev/null || echo build-essential
    command -v cmake >/dev/null || echo cmake
    command -v git >/dev/null || echo git
    python_prefix="$("$PYTHON" -c 'import sys; print(sys.base_prefix)')"
    if [ "$python_prefix" = /usr ]; then
        "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo "python$PYTHON_VERSION-venv"
        [ -e "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || echo "python$PYTHON_VERSION-dev"
    fi
    has_lib libGL.so.1 || echo libgl1
    has_lib libEGL.so.1 || echo libegl1
    has_lib libGLESv2.so.2 || echo libgles2
    has_lib libglib-2.0.so.0 && has_lib libgthread-2.0.so.0 || echo libglib2.0-0
    has_lib libEGL_nvidia.so.0 || has_lib libEGL_mesa.so.0 || echo libegl-mesa0
    has_lib libEGL_nvidia.so.0 || has_any '/usr/lib*/*/dri/*_dri.so' '/usr/lib*/*/libgallium*.so*' || echo libgl1-mesa-dri
    has_lib libhidapi-hidraw.so.0 || has_lib libhidapi-libusb.so.0 || echo libhidapi-hidraw0
}

SUDO=()
can_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] && return 0
    command -v sudo >/dev/null && sudo -n true 2>/dev/null && SUDO=(sudo -n) && return 0
    return 1
}
apt_install() {
    "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 update &&
        "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

system_key="$({ echo "$PYTHON"; cat "$SELF"; } | hash_of)"
if ! stamp_is system "$system_key"; then
    mapfile -t missing < <(missing_system_packages)
    if ((${#missing[@]} == 0)); then
        echo "[1/4] system packages: all there"
    elif can_install; then
        echo "[1/4] system packages: installing ${missing[*]}"
        run_logged "$ROOT/log/setup/apt.log" "apt-get install ${missing[*]}" apt_install "${missing[@]}"
    elif command -v apt-get >/dev/null; then
        die "system packages are missing, and installing them takes root. Type:" "" \
            "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" "" \
            "then 'make setup' again."
    else
        die "system packages are missing, and this machine has no apt-get to install them with." \
            "Install what these Debian packages hold, then type 'make setup' again:" "    ${missing[*]}"
    fi
fi

# ---- virtual environment
VENV_FLAGS=()
REQUIREMENTS=(runtime sim train export video dev)
if [ "$ROS_SOURCE" = wheels ]; then
    REQUIREMENTS+=(ros)
else
    VENV_FLAGS=(--system-site-packages)
fi
PIP_VERSION=26.3
venv_key="$(printf '%s\n' "$ROOT" "$PYTHON" "$("$PYTHON" -V)" "$ROS_SOURCE" "$PIP_VERSION" | hash_of)"
if ! stamp_is venv "$venv_key" || ! "$VENV/bin/python" -c '' 2>/dev/null; then
    echo "[2/4] virtual environment: Python $PYTHON_VERSION in .venv"
    [ "$ROS_SOURCE" = wheels ] || echo "      ROS 2 $ROS_SOURCE is sourced: its Python packages are used, the ROS wheels stay out"
    # Built for another Python or place, the old environment and what was compiled against it cannot be kept.
    rm -rf "$VENV" "$ROOT/build" "$ROOT/install"
    make_venv() {
        "$PYTHON" -m venv "${VENV_FLAGS[@]}" "$VENV" && "$VENV/bin/python" -m pip install --disable-pip-version-check "pip==$PIP_VERSION"
    }
    run_logged "$ROOT/log/setup/venv.log" "creating .venv with $PYTHON" make_venv
    mkdir -p "$STATE"
    echo "$ROS_SOURCE" >"$STATE/ros_source"
    set_stamp venv "$venv_key"
fi
set_stamp system "$system_key"

# ---- Python packages
# A pip that was killed leaves packages whose files are half there yet count as installed: those without pip's closing INSTALLER mark.
drop_half_installed() {
    local info
    for info in "$VENV"/lib/python3*/site-packages/*.dist-info; do
        [ -e "$info/INSTALLER" ] && [ -s "$info/RECORD" ] || rm -rf "$info"
    done
    rm -rf "$VENV"/lib/python3*/site-packages/~*
}
# The wheels' exported CMake targets name the build machine's header folders; put this environment's there.
fix_cmake_paths() {
    local python_include numpy_include
    python_include="$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
    numpy_include="$("$VENV/bin/python" -c 'import numpy; print(numpy.get_include())')"
    { grep -rlE --include='*.cmake' '/opt/python/cp[0-9]+-cp[0-9]+/' "$VENV/share" || true; } | while read -r file; do
        echo "$file"
        sed -i -E \
            -e "s#/opt/python/cp[0-9]+-cp[0-9]+/lib/python3\.[0-9]+/site-packages/numpy/_?core/include#$numpy_include#g" \
            -e "s#/opt/python/cp[0-9]+-cp[0-9]+/include/python3\.[0-9]+#$python_include#g" "$file"
    done
    if grep -rnE --include='*.cmake' '/opt/python/cp[0-9]+-cp[0-9]+/' "$VENV/share"; then
        echo "these lines of the ROS wheels still name a folder of the machine they were built on"
        return 1
    fi
}
install_packages() {
    local args=() name
    for name in "${REQUIREMENTS[@]}"; do args+=(-r "requirements/$name.in"); done
    if [ -e "$STATE/pip.running" ]; then drop_half_installed; fi
    touch "$STATE/pip.running"
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off -c requirements/lock.txt "${args[@]}" &&
        { [ "$ROS_SOURCE" != wheels ] || fix_cmake_paths; } && rm "$STATE/pip.running"
}
pip_key="$({ echo "$venv_key" "${REQUIREMENTS[@]}"; cat requirements/*.in requirements/lock.txt; declare -f fix_cmake_paths; } | hash_of)"
if ! stamp_is pip "$pip_key"; then
    echo "[3/4] Python packages: requirements/{$(IFS=,; echo "${REQUIREMENTS[*]}")}.in"
    run_logged "$ROOT/log/setup/pip.log" "pip install" install_packages
    set_stamp pip "$pip_key"
fi

if ((PACKAGES_ONLY)); then exit 0; fi

# ---- workspace
# Python modules are linked, not copied: only what colcon itself reads counts here.
workspace_inputs() {
    find src -name package.xml -o -name 'setup.py' -o -name 'setup.cfg' -o -path '*/resource/*' -type f -o -path 'src/apo_interfaces/*' -type f | sort
}
package_set="$({ echo "$venv_key"; find src -name package.xml | sort; } | hash_of)"
build_key="$({
    echo "$pip_key"
    workspace_inputs
    workspace_inputs | tr '\n' '\0' | xargs -0 cat
    # colcon installs these by name.
    find launch config models -type f ! -name '*.pyc' 2>/dev/null | sort || true
} | hash_of)"
build_workspace() {
    local env_args=() cmake_args=("-DPython3_EXECUTABLE=$VENV/bin/python" "-DPython3_FIND_VIRTUALENV=ONLY" "-DBUILD_TESTING=OFF" "-DCMAKE_MAKE_PROGRAM=$VENV/bin/ninja" -GNinja)
    # On a real ROS install the sourced underlay is already in these variables.
    if [ "$ROS_SOURCE" = wheels ]; then env_args=(-u COLCON_PREFIX_PATH -u PYTHONPATH "AMENT_PREFIX_PATH=$VENV" "CMAKE_PREFIX_PATH=$VENV"); fi
    env "${env_args[@]}" "PATH=$VENV/bin:$PATH" "$VENV/bin/python" -m colcon --log-base log build \
        --base-paths src --build-base build --install-base install --symlink-install \
        --event-handlers console_cohesion+ console_direct- --cmake-args "${cmake_args[@]}"
}
if ((FORCE_BUILD)) || ! stamp_is build "$build_key" || [ ! -e install/setup.bash ]; then
    echo "[4/4] workspace: colcon build of $(find src -name package.xml | wc -l) packages"
    # colcon leaves what a removed package installed.
    stamp_is packages "$package_set" || rm -rf build install
    run_logged "$ROOT/log/setup/colcon.log" "colcon build" build_workspace
    set_stamp packages "$package_set"
    set_stamp build "$build_key"
    echo "setup: ready. For a shell with this environment:  source scripts/env.sh"
else
    echo "setup: up to date"
fi
