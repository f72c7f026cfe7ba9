"""What every command has in common: who asks, the idempotency key, the preference to wait, and the answer."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import orjson
from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api import PREFIX, models
from services.gateway.api.caller import Asks
from services.gateway.api.problems import ApiProblem
from services.gateway.api.reading import JsonRequest
from services.gateway.commands import Command, Commands, Settled
from services.gateway.commands import Request as Asked
from services.gateway.domain.outcomes import Outcome

LONGEST_WAIT = 30
"""Seconds that a client may wait for an outcome."""

Traceparent = Annotated[str | None, Header(description="W3C Trace Context: the trace to go on with")]

_WAIT = re.compile(r'(?:^|,)[ \t]*wait[ \t]*=[ \t]*"?([0-9]{1,9})"?[ \t]*(?=[;,]|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Carried:
    """A command that was sent, with its outcome as far as that was waited for."""

    command_id: str
    location: str
    outcome: Outcome | None
    headers: dict[str, str]
    """Of every answer."""

    def answer(self, status: int, body: BaseModel) -> Response:
        headers = self.headers | {"Location": self.location}
        return Response(body.model_dump_json(), status, headers, media_type="application/json")

    def accepted(self) -> Response:
        return self.answer(202, models.Accepted(command_id=self.command_id, location=self.location))

    def problem(self, status: int, text: str) -> ApiProblem:
        """What the outcome says was wrong."""
        return ApiProblem(status, text, self.outcome.errors if self.outcome else (), self.headers)


class Posting(NamedTuple):
    """A request for a command, as far as it does not depend on the resource."""

    asked: Asked
    wait: int | None
    """Seconds; None when the client does not want to wait."""

    async def carry_out(self, commands: Commands, command: Command, settled: Settled | None = None) -> Carried:
        """Send the command, and wait for its outcome as long as the client wants to."""
        found = await commands.identify(self.asked, command)
        await commands.send(found.id, found.message, self.asked)
        headers = {}
        if found.remembered:
            headers["Link"] = f'<{location_of_command(found.id)}>; rel="status"'
        if found.repeated:
            headers["Idempotent-Replayed"] = "true"
        outcome = None
        if self.wait is not None:
            headers["Preference-Applied"] = f"wait={self.wait}"
            outcome = await commands.outcome(self.asked.site, found.id, command.results, self.wait, settled)
        return Carried(found.id, found.location, outcome, headers)


async def posting(
    request: Request,
    caller: Asks,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$",
            description="the same key with the same body is the same command, for a day",
            examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description=f"`wait=N` (RFC 7240): answer with the outcome if it is there within N seconds, {LONGEST_WAIT}"
            " at most",
            examples=["wait=10"],
        ),
    ] = None,
    traceparent: Traceparent = None,
) -> Posting:
    # A DELETE says in its query what others say in a body.
    said: bytes = request.scope["query_string"] if request.method == "DELETE" else b""
    said += request.headers.get("if-match", "").encode()
    if isinstance(request, JsonRequest):
        said += orjson.dumps(await request.json(), option=orjson.OPT_SORT_KEYS)
    fingerprint = hashlib.sha256(said).hexdigest() if said else ""
    key = None if idempotency_key is None else _unquoted(idempotency_key)
    preferences = ",".join(request.headers.getlist("prefer"))
    return Posting(Asked(caller.site, request.scope["path"], key, fingerprint, traceparent), wait_of(preferences))


Posted = Annotated[Posting, Depends(posting)]


def location_of_command(command_id: str) -> str:
    return f"{PREFIX}/commands/{command_id}"


def wait_of(prefer: str) -> int | None:
    """The seconds of the first `wait`, capped; None when there is none that makes sense, which is to be ignored."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), LONGEST_WAIT) if found else None


def _unquoted(key: str) -> str:
    """The draft wants a quoted string (RFC 8941), most clients send it bare: both name the same key."""
    return key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
