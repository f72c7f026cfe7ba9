"""The consistency kernel: effects exactly once, delivery at least once, truth committed in the database.

A batch of records is decoded record by record, checked against the inbox, given to handlers, and committed in one
transaction with its inbox marks and its outbox entries (`processor`). Only then is the outbox published and deleted
(`publication`), and the offset committed; a relay publishes what a crash left behind (`background`).

A service writes handlers that take `records.Incoming` and `work.Work`, and names them in a table of `routes`. Work that
no record asks for is a transaction of the same kind, for a tick or for a request by HTTP (`units`). The kernel knows
its surroundings by two ports: `store`, with the adapters `memory` and `mongo`, and `publisher`, with its adapter in
`libs.kafka`.
"""
