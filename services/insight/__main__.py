"""`python -m services.insight`"""

from libs.runtime.process import run
from services.insight.app import build

if __name__ == "__main__":
    run(build)
