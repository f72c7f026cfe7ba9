"""The least that a read over HTTP can be with this stack: one route of FastAPI that reads one document.

`python -m tests.benchmarks.bare_route MONGODB DATABASE PORT` serves `GET /projects/{id}`.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pymongo import AsyncMongoClient


def app(mongodb: str, database: str) -> FastAPI:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb, tz_aware=True)
    bare = FastAPI()

    @bare.get("/projects/{project_id}")
    async def get_one(project_id: str) -> dict[str, Any]:
        found = await client[database]["projects"].find_one({"_id": f"main/{project_id}"})
        assert found is not None
        project: dict[str, Any] = found["project"]
        return project

    return bare


if __name__ == "__main__":
    _, mongodb, database, port = sys.argv
    uvicorn.run(app(mongodb, database), port=int(port), log_level="warning")
