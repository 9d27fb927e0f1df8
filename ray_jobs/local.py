"""The same on one machine: start a Ray head, submit a job through its Jobs API, follow its log.

    python ray_jobs/local.py pretrain configs/toy/rspnet.yaml -o /tmp/run --set data.catalog=/tmp/c.parquet

Paths must be absolute: a job runs in a copy of this folder. Exit status 0 if the job succeeds.
"""

import asyncio
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_ROOT = Path(__file__).resolve().parents[1]
_JOBS = Path(__file__).resolve().parent
_PATIENCE_S = 90.0


def main(arguments: Sequence[str]) -> int:
    """Run `ray_jobs/ARGUMENTS[0].py` with the other arguments, as a job."""
    if not arguments or not (_JOBS / f"{arguments[0]}.py").is_file():
        names = sorted(path.stem for path in _JOBS.glob("*.py") if path.stem != "local")
        print(f"which job? one of {', '.join(names)}, then its arguments", file=sys.stderr)
        return 2
    script = shlex.join([sys.executable, f"ray_jobs/{arguments[0]}.py", *arguments[1:]])
    with started_head() as client:
        job = _submitted(client, script)
        asyncio.run(_follow(client, job))
        return 0 if client.get_job_status(job) == "SUCCEEDED" else 1


def runtime_env(folder: Path) -> dict[str, str | list[str]]:
    """What travels with a job: a folder without what its `.rayignore` and `.gitignore` name.

    Older versions of Ray that avrep runs on read the second alone.
    """
    lines = (folder / ".rayignore").read_text(encoding="utf-8").splitlines()
    excludes = [line for line in lines if line and not line.startswith("#")]
    return {"working_dir": str(folder), "excludes": excludes}


def _submitted(client: "JobSubmissionClient", script: str) -> str:
    """The number of the job; the agent that starts jobs comes up after the API that takes them."""
    given_up_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return client.submit_job(entrypoint=script, runtime_env=runtime_env(_ROOT))
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > given_up_s:
                raise
            time.sleep(0.5)


async def _follow(client: "JobSubmissionClient", job: str) -> None:
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)


@contextmanager
def started_head() -> Iterator["JobSubmissionClient"]:
    """A Ray head of this machine's cores, stopped at the end.

    Raises:
        TimeoutError: its Jobs API does not answer.
    """
    # Whoever reaches the Jobs API runs what he likes: not without a word that only we know.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # Ray puts sockets there, whose paths must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        port, dashboard_port, agent_port = _free_ports(3)
        head = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "ray"),
                *("start", "--head", "--block", "--disable-usage-stats"),
                *("--port", str(port), "--dashboard-port", str(dashboard_port)),
                # Beside another Ray that has the usual one, the agent that starts jobs gives up.
                *("--dashboard-agent-listen-port", str(agent_port)),
                *("--temp-dir", folder),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield _connected(head, dashboard_port)
        finally:
            head.send_signal(signal.SIGTERM)
            head.wait()


def _connected(head: subprocess.Popen[bytes], port: int) -> "JobSubmissionClient":
    # Ray reads how it is to authenticate when it is imported.
    from ray.job_submission import JobSubmissionClient

    given_up_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < given_up_s and head.poll() is None:
        try:
            client = JobSubmissionClient(f"http://127.0.0.1:{port}")
            client.list_jobs()
        except (ConnectionError, RuntimeError):
            time.sleep(0.5)
        else:
            return client
    raise TimeoutError("ray start --head gave no Jobs API; try it by hand to see why")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has: Ray's usual ones may be another Ray's."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
