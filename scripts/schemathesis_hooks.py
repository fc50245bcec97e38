"""What scripts/schemathesis asks is about things that are there: ids that fit their schema are
replaced by real ones, of the environment (SND=snd_…, MSG=msg_…). What does not fit stays as it is."""

import os
import re

import schemathesis

REAL = {name: os.environ[name] for name in os.environ if name in ("CON", "SND", "MSG", "SEQ", "CMP", "SUB", "KEY")}


def real(value):
    if isinstance(value, str):
        fits = re.fullmatch("([a-z]{3})_[0-9a-v]+", value)
        return REAL.get(fits[1].upper(), value) if fits else value
    if isinstance(value, list):
        return [real(item) for item in value]
    if isinstance(value, dict):
        return {name: real(item) for name, item in value.items()}
    return value


# Beside these stands what a message says, under the name of its type: more than a schema tells.
MESSAGE = "sender to recipient_type type reference at on_unknown on_opt_out outside_window on_template_pause quiet_hours marketing"


def sayable(body):
    """A message that says something: texts where texts are, so that what is wrong stays wrong."""
    if isinstance(body, dict) and {"sender", "to", "type"} <= body.keys():
        body = {name: value for name, value in body.items() if name in MESSAGE.split()}
        body.pop("marketing", None)
        if isinstance(body["type"], str):
            body["type"], body["text"] = "text", {"body": "a"}
        if isinstance(body["to"], str):
            body["to"] = "447700900789"
            if body.get("recipient_type") == "group":
                body["recipient_type"] = "individual"
    return body


def reachable(body):
    """The provider stays the one that answers, knows the app, and is asked for what it has."""
    if isinstance(body, dict):
        if str(body.get("base_url")).startswith("http"):
            body["base_url"] = os.environ["PROVIDER"]
        secrets = body.get("app_secrets")
        if isinstance(secrets, list) and secrets and all(isinstance(it, str) and it for it in secrets):
            body["app_secrets"] = [os.environ["APP_SECRET"]] * len(secrets)
        if body.get("deprecated_v1") is True:
            body["deprecated_v1"] = False
    return body


@schemathesis.hook
def map_body(context, body):
    return reachable(sayable(real(body)))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return real(path_parameters)


@schemathesis.hook
def map_query(context, query):
    return real(query)


# Not all that is asked comes by the hooks above: an id that an answer made known is taken as it is.
@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path_parameters:
        case.path_parameters = real(case.path_parameters)
    if isinstance(case.body, dict):
        case.body = reachable(case.body)
