"""Denoises a picture: client.py FILE RESULT"""

import json
import os
import sys
import time
import urllib.request
import uuid

source, result = sys.argv[1:3]
base = os.environ.get("BASE_URL", "http://127.0.0.1:8000")
headers = {"Authorization": f"Bearer {os.environ.get('API_KEY', 'none')}"}


def call(method, path, body=None, content_type="application/json"):
    request = urllib.request.Request(base + path, body, headers, method=method)
    request.add_header("Content-Type", content_type)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def form(fields, path):
    """A multipart form; for large files, a library that streams them is the better choice."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    name = os.path.basename(path)
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="image_file"; filename="{name}"\r\n\r\n'.encode())
    with open(path, "rb") as file:
        parts.append(file.read())
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


wishes = {"task_type": "denoise", "model_name": "denoise_16", "use_patch_processing": "true"}
started = call("POST", "/api/process_image", *form(wishes, source))

deadline = time.monotonic() + 300
while True:
    status = call("GET", f"/api/image_status/{started['task_id']}")
    print(status)
    if status["status"] not in ("pending", "processing"):
        break
    if time.monotonic() > deadline:
        sys.exit("It takes too long")
    time.sleep(2)

if status["status"] == "failed":
    sys.exit(status["error"])
# The path holds all that opens it: a key is not needed.
urllib.request.urlretrieve(base + status["result_path"], result)
print(result, call("POST", "/api/confirm_download", json.dumps({"result_path": status["result_path"]}).encode()))
