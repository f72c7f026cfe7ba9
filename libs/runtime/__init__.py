"""A service as a process: how it is put together (`service`), and how it starts, serves and stops (`process`)."""
