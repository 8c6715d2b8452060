"""Upscales a picture that lies at an address, or a file: client.py FILE_OR_URL RESULT"""

import json
import os
import sys
import time
import urllib.request
import uuid

source, result = sys.argv[1:3]
base = os.environ.get("BASE_URL", "http://localhost:6008")
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
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode())
    with open(path, "rb") as file:
        parts.append(file.read())
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


wishes = {"type": "image", "model": "realesrgan-x2plus"}
if source.startswith(("http://", "https://")):
    created = call("POST", "/tasks", json.dumps({"url": source, **wishes}).encode())
else:
    created = call("POST", "/tasks", *form(wishes, source))

deadline = time.monotonic() + 300
while True:
    task = call("GET", f"/tasks/{created['task_id']}")
    print(task["status"], [(stage["name"], stage["progress"]) for stage in task["stages"]])
    if task["status"] in ("completed", "failed", "canceled"):
        break
    if time.monotonic() > deadline:
        sys.exit("It takes too long")
    time.sleep(1)

if task["status"] != "completed":
    sys.exit(task["error"])
urllib.request.urlretrieve(task["output"]["url"], result)
print(result, task["output"]["metadata"])
