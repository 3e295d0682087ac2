"""For schemathesis: a lease that may wait waits for a moment only. What the document rules out stays as it is."""
import schemathesis

DOCUMENTED_MS = 60000
MOMENT_MS = 5


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    wait = body.get("waitMs") if isinstance(body, dict) else None
    if type(wait) in (int, float) and MOMENT_MS < wait <= DOCUMENTED_MS and wait == int(wait):
        case.body = {**body, "waitMs": MOMENT_MS}
