"""Equipment: devices, what is planned for them, and what they can do."""
