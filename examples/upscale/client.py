"""Makes a picture four times as large: client.py FILE RESULT"""

import json
import os
import shutil
import sys
import time
import urllib.request
import uuid

source, result = sys.argv[1:3]
base = os.environ.get("BASE_URL", "http://localhost:8089")
headers = {"Authorization": f"Bearer {os.environ.get('API_KEY', 'none')}"}


def ask(method, path, body=None, content_type=None):
    request = urllib.request.Request(base + path, body, headers, method=method)
    if content_type:
        request.add_header("Content-Type", content_type)
    return urllib.request.urlopen(request, timeout=60)


def form(fields, path):
    """A multipart form; for large files, a library that streams them is the better choice."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    name = os.path.basename(path)
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'.encode())
    with open(path, "rb") as file:
        parts.append(file.read())
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


with ask("POST", "/api/v1/upscale", *form({"scale": 4, "format": "png"}, source)) as answer:
    submitted = json.load(answer)

deadline = time.monotonic() + 300
while True:
    with ask("GET", submitted["status_url"]) as answer:
        job = json.load(answer)
    print(job["status"], job.get("progress"))
    if job["status"] != "processing":
        break
    if time.monotonic() > deadline:
        sys.exit("It takes too long")
    time.sleep(1)

if job["status"] == "failed":
    sys.exit(job["error"])
# It is deleted there once all of it is here; a download that breaks off may be repeated.
with ask("GET", job["download_url"]) as answer, open(result, "wb") as file:
    shutil.copyfileobj(answer, file)
print(result, job["output_size"])
