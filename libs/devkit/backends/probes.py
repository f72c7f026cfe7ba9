"""Does a backend answer? Each probe returns None when it does, else the reason in words."""

import socket
import struct

import redis
from pymongo import MongoClient
from pymongo.errors import PyMongoError

_TIMEOUT = 1.0
_API_VERSIONS = 18


def kafka(address: str) -> str | None:
    """Ask the first broker which requests it knows (ApiVersions v0, the first thing any client sends)."""
    host, _, port = address.split(",")[0].rpartition(":")
    # request header v1: api key, api version, correlation id, client id (null)
    request = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
    try:
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(8)
    except OSError as error:
        return f"no answer from {address}: {error}"
    return None if answer[4:8] == struct.pack(">i", 1) else f"{address} does not speak Kafka"


def mongodb(url: str) -> str | None:
    try:
        with mongo_client(url) as client:
            hello = client.admin.command("hello")
    except PyMongoError as error:
        return f"no answer: {error}"
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        return "it is neither a replica set nor sharded, so it has no transactions"
    return None


def mongodb_primary(url: str) -> str | None:
    try:
        with mongo_client(url) as client:
            return None if client.admin.command("hello")["isWritablePrimary"] else "no primary yet"
    except PyMongoError as error:
        return f"no answer: {error}"


def mongo_client(url: str) -> "MongoClient[dict[str, object]]":
    """A client that gives up early: for looking, not for work."""
    milliseconds = int(_TIMEOUT * 1000)
    return MongoClient(
        url,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=milliseconds,
    )


def redis_server(url: str) -> str | None:
    try:
        with redis.Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT) as client:
            client.ping()
    except redis.RedisError as error:
        return f"no answer: {error}"
    return None
