"""A service in miniature: a health page and nothing else. STAND_IN_<NAME> makes it misbehave.

ready (default) · unready: says 503 and why · dies: ends at once · deaf: ignores SIGTERM
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

NAME = sys.argv[1]
MANNER = os.environ.get(f"STAND_IN_{NAME.upper()}", "ready")


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = MANNER != "unready"
        checks = {"kafka": {"ok": True}, "mongodb": {"ok": ready, "detail": "no primary"}}
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"ready": ready, "checks": checks}).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def end(*_: object) -> None:
    """Note whether the backends were still there: they are to be stopped last."""
    host, _, port = os.environ["FACTORY_KAFKA"].rpartition(":")
    with socket.socket() as probe:
        reachable = probe.connect_ex((host, int(port))) == 0
    say(f"{NAME} ends, Kafka is {'there' if reachable else 'gone'}")
    os._exit(0)


say(f"{NAME} begins, namespace={os.environ['FACTORY_NAMESPACE']}")
if MANNER == "dies":
    sys.exit("it cannot work like this")
signal.signal(signal.SIGTERM, signal.SIG_IGN if MANNER == "deaf" else end)
server = HTTPServer((os.environ["FACTORY_HTTP_HOST"], int(os.environ["FACTORY_HTTP_PORT"])), Health)
server.serve_forever()
