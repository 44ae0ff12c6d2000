#!/usr/bin/env bash
# A worker of a cluster: offers the CPUs and GPUs of its machine to the trials. Further arguments go to `ray start`.
#
#   HEAD_ADDRESS=head:6379    NUM_CPUS, NUM_GPUS    default: what the machine has
#   RAY_AUTH_MODE=token, RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH    the head's token
set -euo pipefail

export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
exec ray start --block --disable-usage-stats \
  --address="${HEAD_ADDRESS:?set it to HOST:PORT of the head}" \
  ${NUM_CPUS:+--num-cpus="$NUM_CPUS"} ${NUM_GPUS:+--num-gpus="$NUM_GPUS"} \
  "$@"
