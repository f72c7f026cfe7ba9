"""Two ways to live with a dependency that is away: `retry` tries again, `breaker` stops asking for a while."""
