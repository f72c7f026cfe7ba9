"""Execution: work orders on the floor, their tasks, leases and devices, and the ledger of what was counted.

Owns work orders, tasks, routings, devices and the ledger. Consumes `execution.commands`, `task-generation.batches`,
`devices.reports`, `devices.status` and its own `execution.dispatch`; produces `devices.tasks.<type>`,
`execution.events` and, when open work runs low, `task-generation.commands`.
"""
