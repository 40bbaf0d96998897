"""What the test adds to schemathesis: real ids in place of those that were made up, a strict reading of answers, and a count.

Only what the description allows is replaced, by something else that it allows: what is wrong on purpose stays so.
"""

import atexit
import collections
import itertools
import json
import os
import random
import re
import sys

import schemathesis
from schemathesis.core.parameters import ParameterLocation

sys.path.insert(0, os.path.dirname(__file__))
from instance import Instance  # noqa: E402

DOCUMENT = json.loads(open(os.environ["BELLWETHER_DESCRIPTION"], encoding="utf-8").read())
INSTANCE = Instance(
    os.environ["BELLWETHER_URL"], os.environ["BELLWETHER_KEY"], DOCUMENT, os.environ["BELLWETHER_FILES"],
    os.environ["BELLWETHER_RECEIVER"],
)
INSTANCE.fill()

ID = re.compile(r"^([a-z]+)_[0-7][0-9a-hjkmnp-tv-z]{25}$")
# What ends a thing, or takes it out of use, is done to those that nothing else needs.
ENDING = re.compile(r"^(delete|revoke|disable|cancel|detach)")
CHOICE = random.Random(7)
NUMBERS = itertools.count()
COUNTS = collections.defaultdict(collections.Counter)


def pick(kind, is_ending):
    spare = INSTANCE.spare.get(kind) or INSTANCE.ids[kind]
    if is_ending:
        # Half of the time it is there still.
        return spare.pop(0) if spare is not INSTANCE.ids[kind] and len(spare) > 1 else CHOICE.choice(spare)
    # The last ones are the last that go.
    return CHOICE.choice(INSTANCE.ids[kind][:1] + INSTANCE.ids[kind][-2:])


def real(value, is_ending):
    if isinstance(value, dict):
        return {name: real(field, is_ending) for name, field in value.items()}
    if isinstance(value, list):
        return [real(item, is_ending) for item in value]
    matched = ID.match(value) if isinstance(value, str) else None
    return pick(matched[1], is_ending) if matched and matched[1] in INSTANCE.ids else value


def is_right(case, location):
    """Whether nothing there is wrong on purpose."""
    component = case.meta.components.get(location) if case.meta else None
    return component is None or not component.mode.is_negative


@schemathesis.hook
def before_call(context, case, kwargs):
    is_ending = bool(ENDING.match(case.operation.definition.raw["operationId"]))
    if case.path_parameters and is_right(case, ParameterLocation.PATH):
        case.path_parameters = real(case.path_parameters, is_ending)
        if "/experiments/{id}" in case.operation.path:
            case.path_parameters["id"] = str(pick("experiment", is_ending))
        if "name" in case.path_parameters:
            # The files that runs read stay as they are.
            case.path_parameters["name"] = "uploaded.csv"
    if case.query and is_right(case, ParameterLocation.QUERY):
        case.query = real(case.query, False)
        # Cursors are what pages gave, and few made-up texts are keys of experiments.
        known = {"after": "", "experiment": str(pick("experiment", False))}
        case.query.update({name: known[name] for name in known if name in case.query})
    if case.headers and is_right(case, ParameterLocation.HEADER) and "If-Match" in case.headers:
        # Few edits would be made, were each to meet its version.
        case.headers["If-Match"] = CHOICE.choice(["*", "*", "*", '"1"'])
    if case.headers and is_right(case, ParameterLocation.HEADER) and "Idempotency-Key" in case.headers:
        # Each request is another, and has a key of its own.
        case.headers["Idempotency-Key"] = f"request {next(NUMBERS)}"
    if isinstance(case.body, dict) and is_right(case, ParameterLocation.BODY):
        case.body = real(case.body, False)
        if case.operation.path.startswith("/api/v1/warehouses") and "path" in case.body:
            case.body["path"] = INSTANCE.files
        if case.operation.definition.raw["operationId"].startswith("create"):
            # Names are another's already where an example is sent twice.
            unique = {name: f"{case.body[name][:150]} {next(NUMBERS)}" for name in ("key", "name") if name in case.body}
            case.body.update(unique)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Answers may get more fields some day; of today's, every one is to be described."""
    schemas = raw_schema["components"]["schemas"]
    # What is a part of something larger does not know the fields beside it.
    parts = set()

    def close(schema):
        if isinstance(schema, dict):
            if "properties" in schema and "$ref" in schema:
                parts.add(schema["$ref"].rpartition("/")[2])
            elif "properties" in schema and "additionalProperties" not in schema and "anyOf" not in schema:
                schema["additionalProperties"] = False
            for field in schema.values():
                close(field)
        elif isinstance(schema, list):
            for item in schema:
                close(item)

    def open_again(schema):
        if isinstance(schema, dict):
            if schema.get("additionalProperties") is False:
                del schema["additionalProperties"]
            for field in schema.values():
                open_again(field)
        elif isinstance(schema, list):
            for item in schema:
                open_again(item)

    close(schemas)
    for part in parts:
        open_again(schemas[part])


@schemathesis.hook
def after_call(context, case, response):
    name = case.operation.definition.raw["operationId"]
    COUNTS[name][f"{response.status_code // 100}xx"] += 1


@atexit.register
def tell():
    json.dump(COUNTS, open(os.environ["BELLWETHER_COUNTS"], "w", encoding="utf-8"))
