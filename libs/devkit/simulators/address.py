"""Where the factory is: what the command line says, else the environment, else the factory that runs here."""

import os
from dataclasses import dataclass

from libs.devkit.state import StateFile, default_home


class Nowhere(ValueError):
    """No Kafka address was given and no factory runs here; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """How a client reaches a factory: the brokers, and the prefix of every topic name."""

    kafka: str
    namespace: str = ""

    def topic(self, name: str) -> str:
        return f"{self.namespace}.{name}" if self.namespace else name


def locate(kafka: str | None = None, namespace: str | None = None) -> Address:
    """The address to use: the argument, else FACTORY_KAFKA / FACTORY_NAMESPACE, else the running factory's.

    Raises:
        Nowhere: nothing of these tells where Kafka is.
    """
    kafka = kafka or os.environ.get("FACTORY_KAFKA") or _running()
    if not kafka:
        raise Nowhere("where is Kafka? Start a factory (factory up), or give --kafka host:port or FACTORY_KAFKA")
    if namespace is None:
        namespace = os.environ.get("FACTORY_NAMESPACE", "")
    return Address(kafka, namespace)


def _running() -> str | None:
    """Kafka's address, of the factory that runs in this folder; None when none does."""
    state = StateFile(default_home()).read()
    return state.status.kafka if state is not None and state.alive and state.status is not None else None
