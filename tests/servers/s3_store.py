"""An S3-compatible server: moto's, on loopback, in threads of the test's own process."""

from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

from tests.servers.faulty_http import FaultyServer, faulty_server

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""For the environment: any will do."""


@contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a running server that holds nothing yet; the test is skipped without moto."""
    server_module = pytest.importorskip("moto.server", reason="needs moto[s3], flask, flask-cors")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def faulty_s3(bucket: str) -> Iterator[FaultyServer]:
    """An empty bucket, reached through a server that plants faults, by what the environment says."""
    with (
        s3_server() as upstream,
        faulty_server(upstream=upstream) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
            patch.setenv(name, value)
        # File systems are kept by their options, and these are in the environment.
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        fsspec.filesystem("s3").mkdirs(bucket, exist_ok=True)
        yield server
    fsspec.get_filesystem_class("s3").clear_instance_cache()
