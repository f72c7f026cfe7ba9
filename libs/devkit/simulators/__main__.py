"""`python -m libs.devkit.simulators erp|devices …`, the same as `factory simulate …`."""

from libs.devkit.simulators.commands import app

app()
