"""Upscales pictures that lie at addresses, all at once: client.py URL [URL ...] RESULT

The first one's result is fetched; the addresses of the others are printed.
"""

import json
import os
import sys
import time
import urllib.request

*sources, result = sys.argv[1:]
base = os.environ.get("BASE_URL", "http://localhost:8000")
headers = {"Authorization": f"Bearer {os.environ.get('API_KEY', 'none')}", "Content-Type": "application/json"}


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def submit(image_url, upload_url=None):
    """`upload_url` is a presigned address that takes the result; without it the gateway stores it."""
    args = [image_url] if upload_url is None else [image_url, upload_url]
    task = {"task_name": "image_super_resolution_pipeline", "args": args}
    return call("POST", "/api/v1/tasks", task)["task_id"]


def wait_for_task(task_id, seconds=300):
    deadline = time.monotonic() + seconds
    while True:
        status = call("GET", f"/api/v1/tasks/{task_id}")
        print(f"{task_id}: {status['state']} {status['progress']:.0%}")
        if status["state"] in ("SUCCESS", "FAILURE", "TIMEOUT", "REVOKED"):
            return status
        if time.monotonic() > deadline:
            sys.exit("It takes too long")
        time.sleep(1)


task_ids = [submit(source) for source in sources]
statuses = [wait_for_task(task_id) for task_id in task_ids]
for status in statuses:
    if status["state"] != "SUCCESS":
        sys.exit(f"{status['state']}: {status['error']}")
    print(status["result"]["output_url"], status["result"]["classification"])

urllib.request.urlretrieve(statuses[0]["result"]["output_url"], result)
# What is stored of it is not needed any more.
print(call("DELETE", f"/api/v1/tasks/{task_ids[0]}")["message"])
