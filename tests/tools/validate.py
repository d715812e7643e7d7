"""Holds documents against the schemas: validate.py FOLDER, with `[schema, document]` as a line of JSON each on standard input. Says what is wrong."""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

schemas = {path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in Path(sys.argv[1]).glob("*.schema.json")}
resources = [(f"{name}.schema.json", Resource(schema, DRAFT202012)) for name, schema in schemas.items()]
registry = Registry().with_resources(resources)
for schema in schemas.values():
    Draft202012Validator.check_schema(schema)
validators = {name: Draft202012Validator(schema, registry=registry) for name, schema in schemas.items()}


def deepest(error):
    """The error that says most: of alternatives, that of the one which fits best."""
    while error.context:
        error = min(error.context, key=lambda inner: (inner.validator == "const", inner.validator == "enum", -len(inner.absolute_path)))
    return error


for number, line in enumerate(sys.stdin, 1):
    name, document = json.loads(line)
    for error in validators[name].iter_errors(document):
        error = deepest(error)
        print(f"{name} {number}: {error.json_path}: {error.message[:300]}")
