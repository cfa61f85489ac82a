"""What the schema of a URL does not tell: which hosts are refused. Valid bodies get a host that is none of them."""

from urllib.parse import quote

import schemathesis
from schemathesis.generation import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if valid and isinstance(body, dict) and isinstance(body.get("prometheusURL"), str) and body["prometheusURL"]:
        path = quote(body["prometheusURL"].split("://", 1)[-1])
        case.body = {**body, "prometheusURL": f"http://prometheus.monitoring.svc/{path}"[:2048]}
