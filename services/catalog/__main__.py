"""`python -m services.catalog`"""

from libs.messaging.service import run
from services.catalog.app import build

if __name__ == "__main__":
    run(build)
