"""The client side of Kafka: consumers that hand batches to the kernel, the publisher, the topics of the table.

`broker`, `consumer`, `assignment` and `fetching` are the way in; `publisher` is the way out; `topics` creates what both
need; `internals` holds every use of a private part of aiokafka and FastStream.
"""
