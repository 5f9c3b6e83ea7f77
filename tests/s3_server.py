"""A server of S3 on 127.0.0.1, in threads of this process: moto's, which keeps buckets in memory.

`python tests/s3_server.py 0.02` begins one that waits so many seconds before each answer, prints the variables with
which s3fs finds it, for a shell, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
# Of a request that was refused.
_FORBIDDEN = b"<Error><Code>AccessDenied</Code><Message>none of your business</Message></Error>"


class S3Server:
    """What is asked of the server, and how it answers.

    Attributes:
        environment: Variables with which s3fs finds it.
        requests: What was asked so far: method and path, like `PUT bucket/out/dataset.json`.
        delay: Seconds before each answer.
        refuses: Called with each request before it is answered; where it gives True, the answer is 403.
        most_at_once: Most requests that waited for an answer at a time.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.delay = 0.0
        self.refuses: Callable[[str], Any] = lambda request: False
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self.http = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.http.port}",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            # Not those of whoever runs the tests.
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def written(self, below: str) -> list[str]:
        """Names of the files below a folder that were written so far, in order."""
        puts = (request.removeprefix(f"PUT {below}/") for request in self.requests)
        return [name for name in puts if not name.startswith(("PUT ", "GET ", "HEAD ", "DELETE ", "POST "))]

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'].strip('/')}"
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(self.delay)
            if self.refuses(request):
                start_response("403 Forbidden", [("Content-Length", str(len(_FORBIDDEN)))])
                return [_FORBIDDEN]
            return self._app(environ, start_response)
        finally:
            with self._lock:
                self._at_once -= 1


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *arguments: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def served() -> Iterator[S3Server]:
    """Serves an empty store for a block."""
    server = S3Server()
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


if __name__ == "__main__":
    with served() as started:
        started.delay = float(sys.argv[1])
        print(*(f"export {name}={value}" for name, value in started.environment.items()), sep="\n", flush=True)
        sys.stdin.read()
