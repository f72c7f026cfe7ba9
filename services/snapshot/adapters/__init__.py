"""Where snapshots are kept, and where it is remembered which of them exist."""
