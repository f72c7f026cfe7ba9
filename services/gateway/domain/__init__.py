"""Read models and outcomes as pure functions of events."""
