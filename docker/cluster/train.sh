#!/usr/bin/env bash
# Begins the training run of a folder, or goes on with it where it was interrupted:
#     docker/cluster/train.sh RUN [options of `apo train`]
# PROCESSES: of this machine, one a device (default: its GPUs). On several machines MACHINES, RANK (of this one, from 0)
# and MAIN_ADDRESS (of the one with rank 0). Ends with the status of `apo train`: 0 published, 2 failed, 3 rejected by
# the gate, 130 interrupted.
set -euo pipefail

run=$1
shift
# shellcheck source=/dev/null
source "$(dirname "$0")/../../scripts/env.sh"

# The state that a run has ended with; empty before that.
state() {
    if [ -f "$run/result.json" ]; then
        python -c 'import json, sys; print(json.load(open(sys.argv[1]))["state"])' "$run/result.json"
    fi
}

case $(state) in
PUBLISHED | DONE) exit 0 ;;
REJECTED) exit 3 ;;
esac

machines=${MACHINES:-1}
processes=${PROCESSES:-$(nvidia-smi --list-gpus | wc -l)}
launch=(accelerate launch --num_processes "$((machines * processes))" --num_machines "$machines")
if [ "$((machines * processes))" -gt 1 ]; then
    launch+=(--multi_gpu)
fi
if [ "$machines" -gt 1 ]; then
    launch+=(--machine_rank "$RANK" --main_process_ip "$MAIN_ADDRESS" --main_process_port "${MAIN_PORT:-29500}")
fi
if [ -f "$run/run.json" ]; then
    arguments=(--resume "$run")
else
    arguments=(--run-dir "$run" --run-id "$(basename "$run")" "$@")
fi

"${launch[@]}" -m apo_trainer.train "${arguments[@]}" &
child=$!
# the run writes its progress at the end of its step, then ends
trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
while kill -0 "$child" 2>/dev/null; do
    wait "$child" || true
done

# the launcher ends with 1 whatever its processes ended with
case $(state) in
PUBLISHED | DONE) exit 0 ;;
REJECTED) exit 3 ;;
FAILED) exit 2 ;;
*) exit 130 ;;
esac
