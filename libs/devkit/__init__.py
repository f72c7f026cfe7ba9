"""Development tools: embedded backends, the supervisor behind `factory up`, simulators, the command line."""
