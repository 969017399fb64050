"""A PostgreSQL server of one's own, on a free port, with its own data, which can be stopped, killed and started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

USER, PASSWORD, DATABASE = "ann", "s3cret@pass/word", "postgres"
_PATIENCE = 60  # seconds to start


def programs() -> Path | None:
    """The folder of PostgreSQL's programs: on the search path, or where Debian keeps it."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    usable = [folder for folder in folders if (folder / "initdb").is_file() and (folder / "postgres").is_file()]
    return usable[-1] if usable else None


class Postgres:
    """A server; as root it runs as ``nobody``, for it refuses to run as root.

    Raises
    ------
    RuntimeError
        PostgreSQL is not installed, or does not start.
    """

    def __init__(self) -> None:
        found = programs()
        if found is None:
            raise RuntimeError("PostgreSQL is not installed")
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="leukfeat-postgres-"))
        self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(self._folder, "nobody", "nogroup")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._make()
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, password: str | None = None, database: str = DATABASE) -> str:
        """Of a database, as SQLAlchemy reads it; ``password`` as it stands in a URL, "" for none."""
        given = "s3cret%40pass%2Fword" if password is None else password
        return f"postgresql+psycopg://{USER}{':' if given else ''}{given}@127.0.0.1:{self.port}/{database}"

    def fresh(self, database: str) -> str:
        """The URL of a new, empty database."""
        subprocess.run(
            [self._programs / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=True,
        )
        return self.url(database=database)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._folder / "data", "-p", str(self.port), "-k", self._folder),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"),
                    *("-c", "fsync=off", "-c", "full_page_writes=off"),  # the server may crash, not the machine
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        asked = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        ends = time.monotonic() + _PATIENCE
        while subprocess.run(asked, check=False).returncode:
            if self._server.poll() is not None or time.monotonic() > ends:
                raise RuntimeError((self._folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.1)

    def stop(self, *, crash: bool = False) -> None:
        """Stop it: connections are ended and running transactions undone; a crash leaves that to the next start."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._server.wait()
            self._server = None

    def close(self) -> None:
        """Stop it and remove everything."""
        self.stop(crash=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make(self) -> None:
        word = self._folder / "word"
        word.write_text(PASSWORD)
        if self._as:
            shutil.chown(word, "nobody", "nogroup")
        made = subprocess.run(
            [
                self._programs / "initdb",
                *("-D", self._folder / "data", "-U", USER, "-A", "scram-sha-256", "--no-sync"),
                *(f"--pwfile={word}", "-E", "UTF8", "--locale=C"),
            ],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
            **self._as,
        )
        if made.returncode:
            raise RuntimeError(made.stderr)
