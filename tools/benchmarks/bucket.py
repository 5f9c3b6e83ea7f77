"""Buckets on this machine, whose answers take as long as those of Google Cloud Storage far away.

TensorFlow's own gs:// knows no other server, but it goes through a proxy and trusts the certificates that it is told.
So this is a proxy that answers itself, by folders in place of buckets.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from dogcat.core.options import InputError

# Where TensorFlow asks what there is, and where it reads.
_ASKED, _READ = "www.googleapis.com", "storage.googleapis.com"
_OBJECTS = "/storage/v1/b/"
# Of the certificate; a benchmark takes less.
_DAYS = 2


class BucketServer(http.server.ThreadingHTTPServer):
    """Serves the folders in a folder as buckets, to be read; a file's name has no slash.

    Attributes:
        folder: The folder.
        delay: Seconds before each answer.
        requests: What was asked so far: the path, and the byte range of a read.
    """

    daemon_threads = True
    # Of connections that wait for a thread.
    request_queue_size = 128

    def __init__(self, folder: Path, delay: float, context: ssl.SSLContext) -> None:
        """Takes the folder, the delay, and the certificate."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.delay = delay
        self.requests: list[str] = []
        self.context = context

    def answer(self, host: str, path: str, byte_range: str) -> tuple[int, bytes]:
        """Status and content of an answer."""
        url = urllib.parse.urlsplit(path)
        if host.startswith(_READ):
            return self._part_of(self.folder / urllib.parse.unquote(url.path[1:]), byte_range)
        bucket, _, name = url.path.removeprefix(_OBJECTS).partition("/o/")
        file = self.folder / bucket / urllib.parse.unquote(name)
        if "/o/" not in url.path:
            # A list, which TensorFlow wants of what is not a file: of folders there are none.
            return 200, b"{}"
        if not file.is_file():
            return 404, b"there is no such object"
        known = {"size": str(file.stat().st_size), "generation": "1", "updated": "2026-01-01T00:00:00.000Z"}
        return 200, json.dumps(known).encode()

    def _part_of(self, file: Path, byte_range: str) -> tuple[int, bytes]:
        first, last = map(int, byte_range.removeprefix("bytes=").split("-"))
        try:
            with open(file, "rb", buffering=0) as opened:
                data = os.pread(opened.fileno(), last + 1 - first, first)
        except FileNotFoundError:
            return 404, b"there is no such object"
        return (206, data) if data else (416, b"")

    def handle_error(self, request: object, client_address: object) -> None:
        """Does nothing: a reader that ends leaves its connections."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:  # noqa: N802, the name that the class looks for
        self.send_response(200)
        self.end_headers()
        self.connection = cast(BucketServer, self.server).context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.close_connection = False

    def do_GET(self) -> None:  # noqa: N802
        server = cast(BucketServer, self.server)
        byte_range = self.headers.get("Range", "")
        server.requests.append(f"{self.path} {byte_range}".rstrip())
        time.sleep(server.delay)
        status, content = server.answer(self.headers["Host"], self.path, byte_range)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path, delay: float) -> Iterator[tuple[BucketServer, dict[str, str]]]:
    """Serves the folders in a folder as buckets of gs://, in threads of this process, for a block.

    Args:
        folder: The folder.
        delay: Seconds before each answer.

    Yields:
        The server, and the environment in which a process of TensorFlow reads from it.

    Raises:
        InputError: There is no openssl to make its certificate.
    """
    with tempfile.TemporaryDirectory(prefix="dogcat-bucket-") as work:
        certificate, key = f"{work}/certificate.pem", f"{work}/key.pem"
        command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        names = f"subjectAltName=DNS:{_ASKED},DNS:{_READ}"
        command += ["-subj", f"/CN={_READ}", "-addext", names, "-days", str(_DAYS), "-keyout", key, "-out", certificate]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError:
            raise InputError(
                "openssl: is not installed; a bucket on this machine needs it for its certificate"
            ) from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with BucketServer(folder, delay, context) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield (
                    server,
                    {
                        "https_proxy": f"http://127.0.0.1:{server.server_address[1]}",
                        "no_proxy": "",
                        "CURL_CA_BUNDLE": certificate,
                        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
                        "NO_GCE_CHECK": "true",
                    },
                )
            finally:
                server.shutdown()
                thread.join()
