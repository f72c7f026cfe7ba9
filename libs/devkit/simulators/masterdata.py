"""Has the catalog published what was sent? Pure, from the messages of `catalog.events.v1`.

Content that is already there makes no new version, so there may be nothing to hear: what counts is that the catalog's
last word on a code carries the content that was sent.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from libs.devkit.simulators.files import KEYS, Message
from libs.devkit.simulators.wire import Event

REJECTED = "catalog.publication-rejected.v1"


@dataclass(frozen=True, slots=True)
class Publication:
    """How the catalog answered one message of master data."""

    message: Message
    outcome: Literal["published", "unchanged", "rejected", "unanswered"]
    version: int | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.outcome in ("published", "unchanged")


class CatalogView:
    """The catalog as its events tell it, with the answers to what was sent."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[Event, bool]] = {}
        self._answers: dict[str, Event] = {}
        self._rejections: dict[str, Event] = {}

    def apply(self, event: Event, *, past: bool) -> None:
        """Take in one event; `past` means it was there before this ERP came."""
        if event.type == REJECTED:
            if not past and not _answers_to(event):
                self._rejections[str(event.data.get("code"))] = event
        else:
            for kind, key in KEYS.items():
                if _answer_type(kind) == event.type:
                    self._last[event.type, str(event.data.get(key))] = (event, past)
        for message_id in _answers_to(event):
            self._answers[message_id] = event

    def publication(self, message: Message, ids: Collection[str]) -> Publication | None:
        """The answer to a message that was sent under `ids`; None while there is none."""
        for answer in (self._answers[sent] for sent in ids if sent in self._answers):
            return _publication(message, answer, unchanged=False)
        last, past = self._last.get((_answer_type(message.type), message.key), (None, True))
        if last is not None and (_covers(last.data, message.data) or not (past or _answers_to(last))):
            return _publication(message, last, unchanged=past)
        if message.key in self._rejections:
            return _publication(message, self._rejections[message.key], unchanged=False)
        return None


def _answer_type(kind: str) -> str:
    return kind.replace(".publish.", ".published.").replace(".retire.", ".retired.")


def _answers_to(event: Event) -> list[str]:
    """The ids of the messages that the event says it answers."""
    named = (event.extensions.get(name) for name in ("causationid", "correlationid"))
    return [found for found in named if found and found != event.id]


def _publication(message: Message, answer: Event, *, unchanged: bool) -> Publication:
    if answer.type == REJECTED:
        return Publication(message, "rejected", errors=list(answer.data.get("errors", [])))
    version = answer.data.get("version")
    return Publication(message, "unchanged" if unchanged else "published", version)


def _covers(told: Any, sent: Any) -> bool:
    """Does `told` say everything that `sent` does? It may say more, such as defaults filled in."""
    if isinstance(sent, dict):
        return isinstance(told, dict) and all(name in told and _covers(told[name], sent[name]) for name in sent)
    if isinstance(sent, list):
        return (
            isinstance(told, list)
            and len(told) == len(sent)
            and all(_covers(one, other) for one, other in zip(told, sent, strict=True))
        )
    return bool(told == sent)
