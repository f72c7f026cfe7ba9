"""The wire: every message that crosses a process boundary, one module per owning service.

Importing this package imports each of its modules, and so registers every message; `libs.contracts.base.all_messages()`
lists them. A message of a module that nobody imports would be unknown to the services that keep every event.
"""

import pkgutil
from importlib import import_module

PROGRAM = "export"
"""The module to run, `python -m libs.contracts.export`: Python warns when the package imports it before."""

for _module in pkgutil.iter_modules(__path__):
    if _module.name != PROGRAM:
        import_module(f"{__name__}.{_module.name}")
