"""Where the floor is kept."""
