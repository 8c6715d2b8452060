#!/usr/bin/env bash
# Upscales a picture that lies at an address: curl.sh URL RESULT
set -euo pipefail
source=$1 result=$2
base=${BASE_URL:-http://localhost:8000}
key=(-H "Authorization: Bearer ${API_KEY:-none}")

# A presigned address as the second of the args takes the result; without it the gateway stores it.
id=$(curl -sS --fail-with-body "${key[@]}" -H 'Content-Type: application/json' "$base/api/v1/tasks" \
  -d "{\"task_name\": \"image_super_resolution_pipeline\", \"args\": [\"$source\"]}" |
  sed -E 's/.*"task_id":"([^"]+)".*/\1/')

for _ in $(seq 300); do
  task=$(curl -sS --fail-with-body "${key[@]}" "$base/api/v1/tasks/$id")
  state=$(sed -E 's/^\{"task_id":"[^"]+","state":"([A-Z]+)".*/\1/' <<<"$task")
  case $state in
    SUCCESS) break ;;
    FAILURE | TIMEOUT | REVOKED) echo "$task" >&2; exit 1 ;;
  esac
  sleep 1
done

url=$(sed -E 's/.*"output_url":"([^"]+)".*/\1/' <<<"$task")
curl -sS --fail -o "$result" "$url"
# What is stored of it is not needed any more.
curl -sS --fail-with-body "${key[@]}" -X DELETE "$base/api/v1/tasks/$id"
echo
