"""The three ways in which work fails, and what the consistency kernel does about each.

`Transient` is retried in place until it works, `Conflict` a few times, `Permanent` never: its message is
isolated and goes to the dead letters. An error of any other class is a defect and is treated as permanent.
"""


class FactoryError(Exception):
    """Base of every error that the project raises on purpose."""


class Transient(FactoryError):
    """A backend is away or busy, or another instance has to do the work; it can succeed later without any change."""


class Busy(Transient):
    """Another transaction is in the way, for as long as it lasts: milliseconds."""


class Conflict(Transient):
    """Somebody else wrote the same documents first; reading again and deciding anew is enough."""


class Permanent(FactoryError):
    """The work can never succeed as it stands: it is malformed, or breaks a rule of the domain."""
