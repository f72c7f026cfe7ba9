"""The three beats, for a whole run of messages at once: load, decide, save and send."""
