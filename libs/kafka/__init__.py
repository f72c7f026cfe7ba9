"""The client side of Kafka: consumers that hand batches to the kernel, the publisher, and the topics of the table."""
