#!/usr/bin/python3
"""One job for each line of a text: BULKHEAD_KEY=bh_sk_... python3 enqueue.py < FILE

A thousand in one call, each call under an Idempotency-Key: it can be run again after whatever went wrong, and
nothing is there twice."""
import hashlib, json, os, sys, time, urllib.error, urllib.request

API = os.environ.get("BULKHEAD_URL", "http://localhost:8080") + "/api/v1"
HEADERS = {"authorization": f"Bearer {os.environ['BULKHEAD_KEY']}", "content-type": "application/json"}

def send(jobs):
    body = json.dumps({"jobs": jobs}).encode()
    headers = {**HEADERS, "idempotency-key": hashlib.sha256(body).hexdigest()}
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(API + "/jobs/bulk", body, headers), timeout=40):
                return len(jobs)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (409, 429):  # 409: the call before is still in work
                sys.exit(error.read().decode())
        except OSError:  # the server is away for a moment
            pass
        time.sleep(0.2)

lines = [line.rstrip("\n") for line in sys.stdin.buffer.read().decode("utf-8", "replace").split("\n")]
jobs = [{"queue": "default", "name": "line:count", "payload": {"number": i, "line": line}} for i, line in enumerate(lines[:-1], 1)]
print(sum(send(jobs[at:at + 1000]) for at in range(0, len(jobs), 1000)), "jobs added")
