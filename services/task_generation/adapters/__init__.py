"""Where generation plans are kept."""
