"""The REST face: one router a resource, and what they share."""

PREFIX = "/api/v1"
