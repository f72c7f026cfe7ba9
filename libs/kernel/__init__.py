"""What every service shares and nothing else: ids, the clock, errors, the settings base."""
