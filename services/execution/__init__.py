"""Execution: work orders on the shop floor, their tasks, leases and devices, and the ledger of what was counted.

Owns work orders, tasks and their archive, routings, devices, their reservations and calendars, and the ledger.
Consumes `execution.commands`, `execution.device-commands`, `task-generation.batches`, `devices.reports`,
`devices.status` and its own `execution.dispatch`; produces `devices.tasks.<type>`, `execution.events`,
`execution.device-events`, `execution.answers` and, when open work runs low, `task-generation.commands`.
"""
