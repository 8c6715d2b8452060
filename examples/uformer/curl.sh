#!/usr/bin/env bash
# Denoises a picture: curl.sh FILE RESULT
set -euo pipefail
file=$1 result=$2
base=${BASE_URL:-http://127.0.0.1:8000}
key=(-H "Authorization: Bearer ${API_KEY:-none}")

id=$(curl -sS --fail-with-body "${key[@]}" "$base/api/process_image" \
  -F "image_file=@$file" -F task_type=denoise -F model_name=denoise_16 -F use_patch_processing=true |
  sed -E 's/.*"task_id":"([^"]+)".*/\1/')

for _ in $(seq 150); do
  status=$(curl -sS --fail-with-body "${key[@]}" "$base/api/image_status/$id")
  case $status in
    *'"status":"completed"'*) break ;;
    *'"status":"failed"'*) echo "$status" >&2; exit 1 ;;
  esac
  sleep 2
done

# The path holds all that opens it: a key is not needed, so that an <img> may show it.
path=$(sed -E 's/.*"result_path":"([^"]+)".*/\1/' <<<"$status")
curl -sS --fail -o "$result" "$base$path"
curl -sS --fail-with-body "${key[@]}" "$base/api/confirm_download" \
  -H 'Content-Type: application/json' -d "{\"result_path\": \"$path\"}"
echo " $id: $result"
