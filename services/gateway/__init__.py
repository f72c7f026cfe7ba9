"""Gateway: what operators' clients talk to. REST in front, commands and read models behind.

Owns read models (master data with all its versions, projects with their numbers, activation and rebases, devices with
their reservations and calendars, dead letters), the outcomes of commands, answers to questions, and the idempotency
keys of its clients; nothing of the domain. Consumes `catalog.events`, `projects.events`, `execution.device-events`,
`execution.answers` and, of `task-generation.events` and `execution.events`, what they tell of batches and of operators'
words on tasks; produces `catalog.commands`, `erp.orders`, `projects.commands`, `execution.commands`,
`execution.device-commands` and, of `execution.dispatch`, holds of device types. It takes the dead letters of every
topic as they are, and a replay publishes them there again.
"""
