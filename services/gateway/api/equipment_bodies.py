"""What operators send to the shop floor: the contracts' commands without what the path names already."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import Field, ModelWrapValidatorHandler, TypeAdapter, ValidationError, model_validator

from libs.contracts.base import Code, Data, Text, Time
from libs.contracts.by_hand import Correction
from libs.contracts.checks import Found, found, with_all
from libs.contracts.reservations import By, Planned, Reason, ReservationKind, WorkingCalendar

_TIME: TypeAdapter[datetime] = TypeAdapter(Time)


class Word(Data):
    """Whose wish it is, and why: both stand in the audit."""

    by: str = Field(min_length=1, max_length=200, description="who wants it")
    reason: Text = Field(min_length=1)


class Release(Data):
    by: str = Field(min_length=1, max_length=200, description="who wants it")


class CorrectionWish(Word):
    outcome: Correction = Field(description="what should have been said; REDO: nothing, it is to be done again")


class ReservationWish(Planned):
    """From a moment until, not including, another."""

    reservation_id: Code | None = Field(None, description="left out: one is made")
    kind: ReservationKind = Field(description="MAINTENANCE: no task begins; ORDER: only tasks of one project begin")
    project_id: str | None = Field(None, max_length=100, description="whose tasks alone may begin, of kind ORDER")
    from_: Time = Field(alias="from")
    to: Time
    by: By = Field(description="who wants it")
    reason: Reason | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _makes_sense(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems: list[Found] = []
        if isinstance(value, Mapping):
            start, end = _moment(value.get("from")), _moment(value.get("to"))
            if start is not None and end is not None and end <= start:
                problems.append(found("EMPTY_SPAN", ("to",), "the span ends before it begins", value.get("to")))
            if value.get("kind") == ReservationKind.ORDER and not value.get("project_id"):
                problems.append(found("MISSING", ("project_id",), "whom an order's reservation is for"))
        return with_all(problems, handler, value)


class CalendarWish(WorkingCalendar):
    by: By = Field(description="who wants it")


def _moment(value: Any) -> datetime | None:
    try:
        return _TIME.validate_python(value)
    except ValidationError:
        return None
