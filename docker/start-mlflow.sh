#!/usr/bin/env bash
# The MLflow server that holds the record of a cluster. Further arguments go to `mlflow server`.
#
#   MLFLOW_BACKEND=sqlite:///mlflow.db    database (postgresql+psycopg2://user:password@host/name for many writers)
#   MLFLOW_ARTIFACTS=./artifacts          folder or s3://bucket; the server passes all files on (proxied artifacts)
#   MLFLOW_HOST=0.0.0.0  MLFLOW_PORT=5000  MLFLOW_WORKERS=1
#   MLFLOW_ALLOWED_HOSTS=mlflow:5000,localhost:5000    names under which clients may reach it
set -euo pipefail

export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
port=${MLFLOW_PORT:-5000}
exec mlflow server \
  --backend-store-uri "${MLFLOW_BACKEND:-sqlite:///mlflow.db}" \
  --artifacts-destination "${MLFLOW_ARTIFACTS:-./artifacts}" --serve-artifacts \
  --host "${MLFLOW_HOST:-0.0.0.0}" --port "$port" --workers "${MLFLOW_WORKERS:-1}" \
  --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-mlflow:$port,localhost:$port,127.0.0.1:$port}" \
  "$@"
