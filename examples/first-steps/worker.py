"""A worker without packages, Python 3.9 or later: BULKHEAD_KEY=bh_sk_... python3 worker.py"""
import hashlib, http.client, json, os, threading, time
from urllib.request import Request, urlopen

API, WORKER = os.environ.get("BULKHEAD_URL", "http://localhost:8080") + "/api/v1", f"python-{os.getpid()}"
HEADERS = {"authorization": f"Bearer {os.environ['BULKHEAD_KEY']}", "content-type": "application/json"}
WORK = {"line:count": lambda number, line: {"number": number, "words": len(line.split()), "sha256": hashlib.sha256(line.encode()).hexdigest()}}
BROKEN = (OSError, ValueError, http.client.HTTPException)  # no answer, or half of one

def session(ready, headers):
    """While this connection stands, what we have leased is ours. After a break it goes on, by the session's id."""
    while time.sleep(0.1) is None:
        try:
            for line in urlopen(Request(f"{API}/workers/{WORKER}/session", headers=headers), timeout=5):
                headers.update({"last-event-id": line[4:].decode().strip()} if line.startswith(b"id: ") else {})
                ready.set()
        except BROKEN:
            pass

def post(path, body, **again):
    """Until there is an answer: saying the same again does no harm."""
    while True:
        try:
            return json.load(urlopen(Request(API + path, json.dumps(body).encode(), HEADERS), timeout=40))["data"]
        except BROKEN as error:
            if 400 <= getattr(error, "code", 500) < 500 and error.code != 429:
                raise RuntimeError(error.read().decode()) from None
        body.update(again)
        time.sleep(0.1)

ready, complete = threading.Event(), []
threading.Thread(target=session, args=[ready, dict(HEADERS)], daemon=True).start()
ready.wait()
while True:
    jobs = post("/queues/default/lease", {"workerId": WORKER, "max": 50, "waitMs": 20000, "complete": complete}, lostAnswer=True)["jobs"]
    complete = []
    for job in jobs:
        try:
            result = WORK[job["name"]](**job["payload"])
            print(json.dumps(result, separators=(",", ":")), flush=True)
            complete.append({"id": job["id"], "leaseToken": job["leaseToken"], "result": result})
        except Exception as error:
            post(f"/jobs/{job['id']}/fail", {"leaseToken": job["leaseToken"], "message": repr(error)})
