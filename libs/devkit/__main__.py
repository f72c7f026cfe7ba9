"""`python -m libs.devkit …` is `factory …`; the detached supervisor is started this way."""

from libs.devkit.cli import main

main()
