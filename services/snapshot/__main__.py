"""`python -m services.snapshot`"""

from libs.messaging.service import run
from services.snapshot.app import build

if __name__ == "__main__":
    run(build)
