"""Gateway: what operators' clients talk to. REST in front, commands and read models behind.

Owns read models (master data with all its versions, projects with their numbers, activation and rebases), the outcomes
of commands and the idempotency keys of its clients; nothing of the domain. Consumes `catalog.events`, `projects.events`
and, of `task-generation.events` and `execution.events`, what they tell of batches; produces `catalog.commands`,
`erp.orders` and `projects.commands`.
"""
