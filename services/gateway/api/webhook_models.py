"""Bodies about webhooks."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from libs.contracts.base import Data, Time
from services.gateway.api.lists import Page
from services.gateway.domain.deliveries import Delivery, DeliveryState
from services.gateway.domain.webhooks import EVENT_TYPES, Webhook, unknown

Pattern = Annotated[str, Field(pattern=r"^[a-z0-9_.-]{0,100}\*?$", min_length=1)]


class NewWebhook(Data):
    url: str = Field(min_length=1, max_length=2000, description="https, and on the list of the factory")
    events: tuple[Pattern, ...] = Field(
        ("*",),
        min_length=1,
        max_length=50,
        description=f"types of events; a `*` at the end stands for anything: {', '.join(EVENT_TYPES)}",
    )

    @field_validator("events")
    @classmethod
    def _are_events(cls, events: tuple[str, ...]) -> tuple[str, ...]:
        for place in unknown(events):
            text = f"no event is like events[{place}]"
            raise PydanticCustomError("UNKNOWN_EVENT", "{text}", {"text": text})
        return events


class ShownSecret(BaseModel):
    made_at: Time
    until: Time | None = Field(description="when it no longer signs; null for the newest")


class ShownWebhook(BaseModel):
    webhook_id: str
    url: str
    events: list[str]
    active: bool = Field(description="false once the receiver has answered with 410")
    reason: str | None = Field(description="why it is not active")
    created_at: Time
    secrets: list[ShownSecret] = Field(description="that sign now, the newest first; never their values")

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        return cls.model_validate(webhook.model_dump())


class WebhookWithSecret(ShownWebhook):
    secret: str = Field(description="the newest, shown here and never again", examples=["whsec_C2FVsBQIhrscChlQIM"])

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        return cls.model_validate(webhook.model_dump() | {"secret": webhook.secrets[0].value})


class Webhooks(Page[ShownWebhook]):
    pass


class ShownTry(BaseModel):
    at: Time = Field(description="when it ended")
    status: int | None = Field(description="of the receiver's answer")
    error: str | None = Field(description="why there was no answer")


class ShownDelivery(BaseModel):
    delivery_id: str = Field(description="the header `webhook-id`, the same on every try and replay")
    event_id: str
    type: str
    project_id: str
    state: DeliveryState
    created_at: Time
    due_at: Time | None = Field(description="when it is tried next; null when it is not")
    tries: list[ShownTry] = Field(description="the oldest first")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        due_at = delivery.due_at if delivery.state is DeliveryState.PENDING else None
        return cls.model_validate(delivery.model_dump() | {"due_at": due_at})


class Deliveries(Page[ShownDelivery]):
    pass
