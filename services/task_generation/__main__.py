"""`python -m services.task_generation`"""

from libs.runtime.process import run
from services.task_generation.app import build

if __name__ == "__main__":
    run(build)
