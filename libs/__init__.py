"""Shared libraries: the wire, the consistency kernel, sagas, resilience, observability, development tools."""
