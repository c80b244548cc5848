"""What /openapi.json says of refusals: each operation names those that it may answer with, and their body.

main's error handlers write that body, app/gate.py the one of a foreign Host. One place for all operations, so that
no route has to repeat it; tests/security/openapi.py holds every answer to what is written here. Called by main.
"""

from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from app import security
from app.identity import SESSION_COOKIE

#: what FastAPI itself would say of invalid input, and what nobody is answered with
_NOT_OURS, _NOT_OURS_SAYS = ("HTTPValidationError", "ValidationError"), "Validation Error"
_REFERENCE = "#/components/{kind}/{name}"
_SAFE = {"GET", "HEAD", "OPTIONS"}


class RefusedField(BaseModel):
    """What is wrong with one field of what was sent."""

    field: str = Field(description="dotted: body.config.encoder.hidden_size")
    message: str
    value: str = Field(description="what stood there")


class Refusal(BaseModel):
    """Why not, and the way out."""

    message: str
    fields: list[RefusedField]
    detail: Any = Field(None, description="for programs, where an operation says so")


class RefusalOut(BaseModel):
    """The body of every answer from 400 on."""

    error: Refusal


#: status: (what it means, the header that comes with it and what that says)
_REFUSALS: dict[int, tuple[str, tuple[str, str] | None]] = {
    400: ("the body can't be read", None),
    401: (
        "nobody is known: no token or session, or one that does not count",
        ("WWW-Authenticate", "Bearer: send Authorization: Bearer <token>"),
    ),
    403: ("who asks may not; or the request comes from another site, or for another Host", None),
    404: ("no such thing, or not for who asks", None),
    408: ("the body came too slowly, or stopped", None),
    409: ("it clashes with what is there", None),
    413: ("larger than is taken", None),
    422: ("understood and not acceptable; `fields` says which and why", None),
    429: ("more than is taken in a time", ("Retry-After", "seconds to wait")),
    503: ("the database does not answer; nothing was changed", None),
    507: ("the disk has no room; nothing was changed", None),
}

_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "of a program, a worker or an attempt"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "of a browser, by /sign-in"},
}


def describe(app: FastAPI) -> None:
    """Have /openapi.json tell of refusals, too. Made when it is first asked for."""

    plain, known = app.openapi, cast(dict[str, Any] | None, None)

    def openapi() -> dict[str, Any]:
        nonlocal known
        if known is None:
            known = _completed(plain(), app)
        return known

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def of_bytes(media_type: str, says: str, *others: str, **headers: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers 200 with something else than JSON. `others`: media types that it may have,
    too; `headers`: what each one tells."""
    told = {name.replace("_", "-"): _header(tells) for name, tells in headers.items()}
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (media_type, *others)}
    return {200: {"description": says, "content": content, **({"headers": told} if told else {})}}


def _completed(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    parts = document["components"]
    for name in _NOT_OURS:
        parts["schemas"].pop(name, None)
    made = RefusalOut.model_json_schema(ref_template=_REFERENCE.format(kind="schemas", name="{model}"))
    parts["schemas"] |= {**made.pop("$defs"), RefusalOut.__name__: made}
    parts["securitySchemes"] = _SCHEMES
    parts["responses"] = {str(status): _response(status) for status in _REFUSALS}
    for route in security.all_routes(app):
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                operation["responses"] = _with_refusals(operation["responses"], _statuses(route, method, operation))
                operation["security"] = _keys(security.declared(route))
    return document


def _with_refusals(responses: dict[str, Any], statuses: set[int]) -> dict[str, Any]:
    """Each refusal by reference; one that its route tells more of keeps its words."""
    found = dict(responses)
    for status in statuses | {status for status in _REFUSALS if str(status) in responses}:
        own = {} if found.get(str(status), {}).get("description") == _NOT_OURS_SAYS else found.get(str(status), {})
        shared = {"$ref": _REFERENCE.format(kind="responses", name=status)}
        found[str(status)] = {**_response(status), **own} if own else shared
    return dict(sorted(found.items()))


def _statuses(route: APIRoute, method: str, operation: dict[str, Any]) -> set[int]:
    """Those with which this operation may refuse."""
    scope = security.declared(route)
    found = {403, 503}
    if scope != "anyone":
        found |= {401, 429}
    if "parameters" in operation or "requestBody" in operation:
        found |= {404, 422}
    if scope == "self":  # a program has no account of its own
        found |= {422}
    if method not in _SAFE:
        found |= {409}
    if "requestBody" in operation:
        found |= {400, 408, 413, 507}
    return found


def _keys(scope: str | None) -> list[dict[str, list[str]]]:
    """What opens it: any one of these."""
    if scope == "anyone":
        return []
    return [{"token": []}] if scope in {"worker", "attempt"} else [{"token": []}, {"session": []}]


def _response(status: int) -> dict[str, Any]:
    says, header = _REFUSALS[status]
    schema = {"$ref": _REFERENCE.format(kind="schemas", name=RefusalOut.__name__)}
    found: dict[str, Any] = {"description": says, "content": {"application/json": {"schema": schema}}}
    if header is not None:
        found["headers"] = {header[0]: _header(header[1])}
    return found


def _header(tells: str) -> dict[str, Any]:
    return {"description": tells, "required": True, "schema": {"type": "string"}}
