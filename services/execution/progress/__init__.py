"""Progress: what devices and operators say of tasks, what it counts for, and what follows."""
