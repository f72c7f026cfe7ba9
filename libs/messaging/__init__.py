"""The consistency kernel: effects exactly once, delivery at least once, truth committed in MongoDB.

A batch of Kafka records is decoded record by record, checked against the inbox, handed to pure decisions,
and committed in one transaction together with its inbox marks and one outbox document. Only then is it
published, the outbox document deleted and the offset committed; a relay publishes what a crash left behind.
"""
