"""The answers that routes document, with their headers."""

from typing import Any

from services.gateway.api.problems import ProblemDetails

_PROBLEMS = {
    400: "The body is not JSON.",
    404: "There is no such thing at this site.",
    412: "The project has changed since the `ETag` that `If-Match` names. Nothing was done.",
    409: "The state of things does not allow it, or a newer revision is known.",
    413: "The body is too large.",
    415: "The body is not `application/json`.",
    422: "Something in the request is wrong, or was found to be wrong: `errors` says what, all of it.",
    503: "A backend does not answer now. With an `Idempotency-Key` the request can safely be repeated.",
    504: "The shop floor did not answer in time.",
}
_LOCATION = {"Location": {"description": "path of the resource", "schema": {"type": "string"}}}
_APPLIED = {"Preference-Applied": {"description": "the wait that was applied", "schema": {"type": "string"}}}
_STATUS = {
    "Link": {"description": 'path of the command\'s state, as `rel="status"`', "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true`: the key has stood for the command before",
        "schema": {"type": "string"},
    },
}
_COMMANDED = _LOCATION | _APPLIED | _STATUS
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Problem details for these statuses."""
    return {
        status: {
            "model": ProblemDetails,
            "description": _PROBLEMS[status],
            "headers": _RETRY if status in {503, 504} else {},
        }
        for status in statuses
    }


def outcome(status: int, model: type, description: str) -> Responses:
    """The answer of a command whose outcome was waited for."""
    return {status: {"model": model, "description": description, "headers": _COMMANDED}}


READING = problems(422, 503)
"""What can go wrong with any GET."""

COMMANDING = problems(422, 503) | {
    202: {"description": "On its way, or not yet done when the time to wait was over.", "headers": _COMMANDED}
}
"""What any command may answer."""

REPORTED = _LOCATION | _APPLIED | {"Idempotent-Replayed": _STATUS["Idempotent-Replayed"]}

SENDING = problems(404, 422, 503) | {202: {"description": "On its way.", "headers": REPORTED}}
"""What a message of a device may be answered."""

WITH_BODY = problems(400, 413, 415)
"""What can go wrong with a body, beside what is wrong in it."""
