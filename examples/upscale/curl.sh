#!/usr/bin/env bash
# Makes a picture four times as large: curl.sh FILE RESULT
set -euo pipefail
file=$1 result=$2
base=${BASE_URL:-http://localhost:8089}
key=(-H "Authorization: Bearer ${API_KEY:-none}")

id=$(curl -sS --fail-with-body "${key[@]}" "$base/api/v1/upscale" -F "image=@$file" -F scale=4 -F format=png |
  sed -E 's/.*"job_id":"([0-9]+)".*/\1/')

for _ in $(seq 300); do
  job=$(curl -sS --fail-with-body "${key[@]}" "$base/api/v1/status/$id")
  case $job in
    *'"status":"completed"'*) break ;;
    *'"status":"failed"'*) echo "$job" >&2; exit 1 ;;
  esac
  sleep 1
done

# It is deleted there once all of it is here. With -OJ in place of -o it is called as the service names it.
curl -sS --fail-with-body "${key[@]}" -o "$result" "$base/api/v1/download/$id"
echo "$id: $result"
