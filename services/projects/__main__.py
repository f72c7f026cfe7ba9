"""`python -m services.projects`"""

from libs.runtime.process import run
from services.projects.app import build

if __name__ == "__main__":
    run(build)
