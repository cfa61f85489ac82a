"""Adjusts generated requests. The schema cannot express which hosts a Prometheus URL may not have, so valid bodies get
an allowed host. No request may revoke the API key that the requests themselves use."""

import os
from urllib.parse import quote

import schemathesis
from schemathesis.generation import GenerationMode


OWN_KEY = os.environ["ADMIN_API_KEY"].split("-")[0].removeprefix("kite")


@schemathesis.hook
def before_call(context, case, kwargs):
    if "/apikeys/" in case.path and str((case.path_parameters or {}).get("id")) == OWN_KEY:
        case.path_parameters = {**case.path_parameters, "id": 1}
    body = case.body
    valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if valid and isinstance(body, dict) and isinstance(body.get("prometheusURL"), str) and body["prometheusURL"]:
        path = quote(body["prometheusURL"].split("://", 1)[-1])
        case.body = {**body, "prometheusURL": f"http://prometheus.monitoring.svc/{path}"[:2048]}
