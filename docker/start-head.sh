#!/usr/bin/env bash
# The head of a cluster: schedules, serves the dashboard and the Jobs API, runs the sweep of every job; trains nothing
# unless HEAD_CPUS says so. Further arguments go to `ray start`. Needs `ray` and `ablate` on the PATH.
#
#   RAY_PORT=6379  DASHBOARD_PORT=8265  DASHBOARD_HOST=0.0.0.0  CLIENT_PORT=10001  HEAD_CPUS=0
#   RAY_AUTH_MODE=token, RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH    who may use the cluster (default: ~/.ray/auth_token)
set -euo pipefail

export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
exec ray start --head --block --disable-usage-stats \
  --port="${RAY_PORT:-6379}" \
  --dashboard-host="${DASHBOARD_HOST:-0.0.0.0}" --dashboard-port="${DASHBOARD_PORT:-8265}" \
  --ray-client-server-port="${CLIENT_PORT:-10001}" \
  --num-cpus="${HEAD_CPUS:-0}" --num-gpus=0 --resources='{"head": 1000}' \
  "$@"
