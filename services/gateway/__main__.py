"""`python -m services.gateway`."""

from libs.runtime.process import run
from services.gateway.app import build

if __name__ == "__main__":
    run(build)
