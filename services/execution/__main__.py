"""`python -m services.execution`"""

from libs.runtime.process import run
from services.execution.app import build

if __name__ == "__main__":
    run(build)
