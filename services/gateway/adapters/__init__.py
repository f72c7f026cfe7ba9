"""Where the read models, outcomes and keys are kept."""
