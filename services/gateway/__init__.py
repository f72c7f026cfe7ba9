"""Gateway: what operators' clients talk to. REST in front, commands and read models behind.

Owns read models (master data with all its versions, projects with their numbers), the outcomes of commands and the
idempotency keys of its clients; nothing of the domain. Consumes `catalog.events` and `projects.events`; produces
`catalog.commands`, `erp.orders` and `projects.commands`.
"""
