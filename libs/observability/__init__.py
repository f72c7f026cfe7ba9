"""What a running service says of itself: structured logs, traces, metrics and health.

Nothing is configured on import. The composition root calls `logs.configure` and `tracing.configure` once, and
makes one `metrics.Metrics` and one `health.Health`, which `http.routes` puts on the service's port.
"""
