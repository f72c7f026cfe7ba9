"""Where master data is kept, and who makes the topics of device types."""
