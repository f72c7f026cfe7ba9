"""Dead letters: listed, grouped, shown, replayed and discarded."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from libs.contracts.base import Problem
from libs.kernel.clock import rfc3339
from services.gateway.api import PREFIX, answers, examples
from services.gateway.api.caller import Asks
from services.gateway.api.dead_letter_models import (
    DeadLetterGroups,
    DeadLetters,
    Decided,
    Discard,
    DiscardSeveral,
    Replay,
    ReplaySeveral,
    Several,
    ShownDeadLetter,
    shown,
)
from services.gateway.api.lists import Cursor, Limit, cut, moment_of
from services.gateway.api.posting import Carried, Posted, Posting, location_of_command
from services.gateway.api.problems import ApiProblem, single
from services.gateway.api.reading import JsonRoute
from services.gateway.dead_letter_commands import Asked, CountDiffers, DeadLetterCommands, Done, UnknownLetter
from services.gateway.domain.dead_letters import LONGEST_TEXT, BadEdit, LetterState, NotOpen, Wanted
from services.gateway.ports import DeadLetters as Letters
from services.gateway.ports import LetterPosition

TopicFilter = Annotated[str | None, Query(max_length=200, description="only of this topic")]
ErrorFilter = Annotated[str | None, Query(max_length=200, description="only with this class of error")]
TypeFilter = Annotated[str | None, Query(alias="type", max_length=LONGEST_TEXT, description="only of this type")]
ReasonFilter = Annotated[str | None, Query(max_length=LONGEST_TEXT, description="only for exactly this reason")]
StateFilter = Annotated[LetterState | None, Query(description="only in this state")]

_WORDS = ("groups", "replay", "discard")
"""What stands in a path where an id could."""

_ONE = "/{dead_letter_id:dead_letter_id}"


class DeadLetterIdConvertor(Convertor[str]):
    """A segment of a path that is none of the words behind `/dead-letters`."""

    regex = rf"(?!(?:{'|'.join(_WORDS)})(?:/|$))[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def location_of_letter(dead_letter_id: str) -> str:
    return f"{PREFIX}/dead-letters/{dead_letter_id}"


def dead_letters_router(letters: Letters, commands: DeadLetterCommands) -> APIRouter:
    register_url_convertor("dead_letter_id", DeadLetterIdConvertor())
    router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=JsonRoute)
    _reading(router, letters)
    _deciding(router, commands)
    return router


def _reading(router: APIRouter, letters: Letters) -> None:
    @router.get("", name="list dead letters", summary="List dead letters, the newest first", response_model=DeadLetters)
    async def list_page(
        caller: Asks,
        topic: TopicFilter = None,
        error: ErrorFilter = None,
        type_: TypeFilter = None,
        reason: ReasonFilter = None,
        state: StateFilter = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> DeadLetters:
        """What could not be read or applied, of every topic; without the records themselves."""
        wanted = Wanted(topic=topic, error=error, type=type_, reason=reason)
        found = await letters.page(caller.site, wanted, state, _position(cursor), limit + 1)
        views, following = cut(found, limit, lambda view: (rfc3339(view.letter.at), view.id))
        return DeadLetters(items=[view.letter for view in views], next=following)

    @router.get(
        "/groups",
        name="list dead letter groups",
        summary="List why there are dead letters, the newest reason first",
        response_model=DeadLetterGroups,
    )
    async def list_groups(
        caller: Asks,
        topic: TopicFilter = None,
        error: ErrorFilter = None,
        type_: TypeFilter = None,
        reason: ReasonFilter = None,
        state: StateFilter = LetterState.OPEN,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> DeadLetterGroups:
        """How many there are for each reason, topic by topic, since when and until when. Of those that are open,
        unless another state is asked for.
        """
        wanted = Wanted(topic=topic, error=error, type=type_, reason=reason)
        found = await letters.groups(caller.site, wanted, state, _position(cursor), limit + 1)
        groups, following = cut(found, limit, lambda group: (rfc3339(group.last_at), group.example_id))
        return DeadLetterGroups(items=list(groups), next=following)

    @router.get(
        _ONE,
        name="get dead letter",
        summary="Show a dead letter",
        response_model=ShownDeadLetter,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, dead_letter_id: str) -> ShownDeadLetter:
        """The whole record, what is wrong with it, and the parts of it that are wrong."""
        view = await letters.get(caller.site, dead_letter_id)
        if view is None:
            raise _unknown(dead_letter_id)
        return shown(view)


def _deciding(router: APIRouter, commands: DeadLetterCommands) -> None:
    @router.post(
        f"{_ONE}/replay",
        name="replay dead letter",
        summary="Replay a dead letter",
        **_answers(ShownDeadLetter, "It is published again on its topic.", 404),
    )
    async def replay(
        posting: Posted,
        dead_letter_id: str,
        body: Annotated[
            Replay | None,
            Body(
                openapi_examples={
                    "as it came": {"value": examples.REPLAY},
                    "edited": {"value": examples.EDITED},
                }
            ),
        ] = None,
    ) -> Response:
        """Once: of two requests one replays it. As it came, or with another value or other headers; it stays the same
        message, so that its consumer knows one that it has applied meanwhile. An edited one is read first: what is
        still wrong with it is told, and it stays open.
        """
        said = body or Replay()
        asked = Asked(posting.asked, said.by, said.reason)
        location = location_of_letter(dead_letter_id)
        try:
            done = await commands.replay(asked, dead_letter_id, said.value, said.headers, location)
        except BadEdit as error:
            raise ApiProblem(422, str(error), error.problems) from None
        except (UnknownLetter, NotOpen) as error:
            raise _refused(error, dead_letter_id) from None
        return _one(posting, done, location)

    @router.post(
        f"{_ONE}/discard",
        name="discard dead letter",
        summary="Discard a dead letter",
        **_answers(ShownDeadLetter, "It is discarded.", 404),
    )
    async def discard(
        posting: Posted,
        dead_letter_id: str,
        body: Annotated[Discard, Body(openapi_examples={"discard": {"value": examples.DISCARD}})],
    ) -> Response:
        """It is not needed, for a reason; it can still be read, and cannot be replayed any more."""
        location = location_of_letter(dead_letter_id)
        try:
            done = await commands.discard(Asked(posting.asked, body.by, body.reason), dead_letter_id, location)
        except (UnknownLetter, NotOpen) as error:
            raise _refused(error, dead_letter_id) from None
        return _one(posting, done, location)

    async def decide(posting: Posting, said: Several, reason: str, state: LetterState) -> Response:
        asked = Asked(posting.asked, said.by, reason)
        location = f"{PREFIX}/dead-letters"
        try:
            done = await commands.decide_all(asked, said.where, said.expected, state, location)
        except CountDiffers as error:
            raise single(409, "COUNT_DIFFERS", "expected", f"{error}, not {said.expected}: nothing is done") from None
        decided = Decided(command_id=done.command_id, state=state, count=done.count)
        return _carried(posting, done, location).answer(200, decided)

    @router.post(
        "/replay",
        name="replay dead letters",
        summary="Replay all dead letters with something in common",
        **_answers(Decided, "They are published again, the oldest first."),
    )
    async def replay_several(
        posting: Posted,
        body: Annotated[ReplaySeveral, Body(openapi_examples={"group": {"value": examples.REPLAY_SEVERAL}})],
    ) -> Response:
        """Those that are open now, as they came, if there are exactly as many as expected."""
        return await decide(posting, body, body.reason, LetterState.REPLAYED)

    @router.post(
        "/discard",
        name="discard dead letters",
        summary="Discard all dead letters with something in common",
        **_answers(Decided, "They are discarded."),
    )
    async def discard_several(
        posting: Posted,
        body: Annotated[DiscardSeveral, Body(openapi_examples={"group": {"value": examples.DISCARD_SEVERAL}})],
    ) -> Response:
        """Those that are open now, if there are exactly as many as expected."""
        return await decide(posting, body, body.reason, LetterState.DISCARDED)


def _answers(model: type, done: str, *more: int) -> dict[str, Any]:
    """What all decisions answer, and more."""
    return {
        "response_model": model,
        "responses": answers.problems(409, 422, 503, *more) | answers.WITH_BODY | answers.outcome(200, model, done),
    }


def _carried(posting: Posting, done: Done, location: str) -> Carried:
    headers = {"Link": f'<{location_of_command(done.command_id)}>; rel="status"'}
    if done.repeated:
        headers["Idempotent-Replayed"] = "true"
    if posting.wait is not None:
        headers["Preference-Applied"] = f"wait={posting.wait}"
    return Carried(done.command_id, location, None, headers)


def _one(posting: Posting, done: Done, location: str) -> Response:
    assert done.view is not None, "a decision about one dead letter has it"
    return _carried(posting, done, location).answer(200, shown(done.view))


def _position(cursor: str | None) -> LetterPosition | None:
    position = moment_of(cursor)
    return None if position is None else LetterPosition(*position)


def _refused(error: UnknownLetter | NotOpen, dead_letter_id: str) -> ApiProblem:
    if isinstance(error, UnknownLetter):
        return _unknown(dead_letter_id)
    return ApiProblem(409, str(error), [Problem(code="NOT_OPEN", path="state", message=str(error))])


def _unknown(dead_letter_id: str) -> ApiProblem:
    text = f"there is no dead letter {dead_letter_id[:64]!r}"
    return single(404, "UNKNOWN_DEAD_LETTER", "path.dead_letter_id", text)
