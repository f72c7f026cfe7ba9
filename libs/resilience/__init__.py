"""Living with a dependency that is away: try again (`retry`), or stop asking for a while (`breaker`)."""
