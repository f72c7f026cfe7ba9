"""Orders: work orders with their plans, the tasks that are made of them, and where closed ones go."""
