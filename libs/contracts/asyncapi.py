"""A service's AsyncAPI 3.0 document, made from the topic table and the message classes."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from libs.contracts.base import Message, messages_on
from libs.contracts.topics import Topic


def asyncapi_document(service: str, consumes: Iterable[Topic], publishes: Iterable[Topic]) -> dict[str, Any]:
    """Channels with their messages and keys; `receive` operations for what is consumed, `send` for what is sent."""
    ways = {"receive": tuple(consumes), "send": tuple(publishes)}
    classes = {cls: None for topics in ways.values() for topic in topics for cls in messages_on(topic).values()}
    payloads, definitions = models_json_schema(
        [(cls, "validation") for cls in classes], ref_template="#/components/schemas/{model}"
    )
    schemas = {cls: payloads[cls, "validation"] for cls in classes}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for action, topics in ways.items():
        for topic in topics:
            channels[topic.name] = _channel(topic, schemas)
            operations[f"{action}:{topic.name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{_pointer(topic.name)}"},
            }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"Smart Factory: {service}", "version": "1"},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": definitions.get("$defs", {})},
    }


def _channel(topic: Topic, schemas: Mapping[type[Message], Any]) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": topic.note or f"keyed by {topic.key}, owned by {topic.owner}",
        "messages": {
            type_: {
                "name": type_,
                "title": cls.__name__,
                "summary": (cls.__doc__ or "").strip(),
                "payload": schemas[cls],
                "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
            }
            for type_, cls in sorted(messages_on(topic).items())
        },
        "bindings": {"kafka": {"partitions": topic.partitions}},
    }
    if "{" in topic.name:
        channel["parameters"] = {"device_type": {"description": "code of the device type"}}
    return channel


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
