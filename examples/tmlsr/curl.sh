#!/usr/bin/env bash
# Upscales a picture: curl.sh FILE RESULT
set -euo pipefail
file=$1 result=$2
base=${BASE_URL:-http://localhost:6008}
key=(-H "Authorization: Bearer ${API_KEY:-none}")

# An address instead of a file: -H 'Content-Type: application/json' -d '{"url": "https://…", "type": "image"}'
id=$(curl -sS --fail-with-body "${key[@]}" "$base/tasks" \
  -F "file=@$file" -F type=image -F model=realesrgan-x2plus |
  sed -E 's/.*"task_id":"([^"]+)".*/\1/')

for _ in $(seq 300); do
  task=$(curl -sS --fail-with-body "${key[@]}" "$base/tasks/$id")
  case $task in
    *'"status":"completed"'*) break ;;
    *'"status":"failed"'* | *'"status":"canceled"'*) echo "$task" >&2; exit 1 ;;
  esac
  sleep 1
done

url=$(sed -E 's/.*"output":\{"url":"([^"]+)".*/\1/' <<<"$task")
curl -sS --fail -o "$result" "$url"
echo "$id: $result"
