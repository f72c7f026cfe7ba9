"""Insight: the event store, where every event of every service stands once, for audits and for what is learnt of them.

Owns the audit. Consumes every topic of events, but not `execution.answers`: that somebody has asked is no event. Its
own, `insight.events`, carries nothing yet.
"""
