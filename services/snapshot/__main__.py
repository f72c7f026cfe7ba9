"""`python -m services.snapshot`"""

from libs.runtime.process import run
from services.snapshot.app import build

if __name__ == "__main__":
    run(build)
