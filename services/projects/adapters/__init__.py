"""Where projects and sagas are kept."""
