"""What is logged is kept off the screen."""

from tests.captured_logs import logs as logs
