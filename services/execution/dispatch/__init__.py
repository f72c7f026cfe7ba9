"""Dispatch: which ready task goes to which free slot, for how long, and why."""
