"""`python -m services.catalog`"""

from libs.runtime.process import run
from services.catalog.app import build

if __name__ == "__main__":
    run(build)
