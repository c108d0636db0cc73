#!/usr/bin/env bash
# One run over all hosts of a TPU slice, v2 to v6e, through gcloud. TPU names the slice, ZONE and TYPE say where and
# which; README.md beside this file goes through a run.
set -euo pipefail

usage='usage: TPU=NAME ZONE=ZONE [TYPE=v4-32] [SPOT=1] launch/tpu_vm/tpu.sh COMMAND, which is one of
  create          ask for the slice, and wait until it is there
  install         bring this checkout to every host and install it there
  run COMMAND     run a shell command on every host
  start FLAGS     begin or go on with a run: the flags are those of python -m efficiency.main
  follow          show what host 0 says
  stop            stop the run on every host; it saves
  fetch           copy the records, runs/, from host 0 to this folder
  send            copy runs/ from this folder to host 0, as a slice made anew has none
  delete          give the slice back, with all that is on it'

fail() {
  echo "tpu.sh: $1" >&2
  exit 2
}

if [ -z "${TPU:-}" ] || [ -z "${ZONE:-}" ] || [ $# = 0 ]; then
  fail "$usage"
fi
command=$1
shift
cd "$(dirname "$0")/../.."

tpus() {
  gcloud compute tpus "$@" --zone="$ZONE"
}

everywhere() {
  tpus tpu-vm ssh "$TPU" --worker=all --command="$1"
}

create() {
  case ${TYPE:-} in
    v2-* | v3-* | v4-*) version=tpu-ubuntu2204-base ;;
    v5litepod-*) version=v2-alpha-tpuv5-lite ;;
    v5p-*) version=v2-alpha-tpuv5 ;;
    v6e-*) version=v2-alpha-tpuv6e ;;
    *) fail "TYPE is '${TYPE:-}'; it must be a slice of v2 to v6e, as v4-32, v5litepod-16, v5p-32 or v6e-16" ;;
  esac
  tpus queued-resources create "$TPU" --node-id="$TPU" --accelerator-type="$TYPE" --runtime-version="$version" \
    ${SPOT:+--spot}
  while true; do
    state=$(tpus queued-resources describe "$TPU" --format='value(state.state)')
    echo "$(date +%T) $state"
    case $state in
      ACTIVE) return ;;
      FAILED | SUSPENDING | SUSPENDED) fail "the request for $TPU is $state; delete it, and ask again" ;;
    esac
    sleep "${POLL_SECONDS:-30}"
  done
}

install() {
  bundle=$(mktemp -d)/efficiency.bundle
  git bundle create -q "$bundle" HEAD # with its history, as records name the commit
  tpus tpu-vm scp "$bundle" "$TPU:" --worker=all
  rm -r "$(dirname "$bundle")"
  # uv brings the Python that the images lack: theirs is 3.10.
  everywhere 'set -e
    git init -q efficiency
    cd efficiency
    git fetch -q ../efficiency.bundle HEAD
    git checkout -q --detach FETCH_HEAD
    python3 -m pip install -q --user uv
    python3 -m uv venv -q --allow-existing --python 3.11 .venv
    python3 -m uv pip install -q --python .venv/bin/python -c constraints.txt -e ".[tpu]"'
}

# systemd starts a host again after anything but an end (0) or a mistake (2), three times an hour at most; the others
# take up to a minute to notice. SIGTERM goes to the command alone, as its data workers are its own to end.
start() {
  [ $# -gt 0 ] || fail 'start needs the flags of python -m efficiency.main, as --config=configs/shufflenet.py'
  printf -v flags ' %q' "$@"
  everywhere "cd efficiency && sudo systemd-run --unit=efficiency --collect --uid=\$(id -u) --gid=\$(id -g) \
    --working-directory=\$PWD --property=Restart=on-failure --property=RestartPreventExitStatus=2 \
    --property=RestartSec=10 --property=StartLimitIntervalSec=1h --property=StartLimitBurst=4 \
    --property=KillMode=mixed --property=TimeoutStopSec=120 \
    \$PWD/.venv/bin/python -m efficiency.main --wait_for_hosts=600$flags"
}

case $command in
  create) create ;;
  install) install ;;
  run) everywhere "$*" ;;
  start) start "$@" ;;
  follow) tpus tpu-vm ssh "$TPU" --worker=0 --command='sudo journalctl --unit=efficiency --follow --output=cat' ;;
  stop) everywhere 'sudo systemctl stop efficiency' ;;
  fetch) tpus tpu-vm scp "$TPU:efficiency/runs" . --worker=0 --recurse ;;
  send) tpus tpu-vm scp runs "$TPU:efficiency/" --worker=0 --recurse ;;
  delete) tpus queued-resources delete "$TPU" --force --quiet ;;
  *) fail "there is no command '$command'; $usage" ;;
esac
