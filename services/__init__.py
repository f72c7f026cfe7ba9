"""The services: one process each, one database each, Kafka between them; none imports another."""
