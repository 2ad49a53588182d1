"""Services in a thread of their own, for what calls them from outside.

`python -m tests.services.fuzzed N` hands them to schemathesis with N examples per operation, and ends as that
ends; `make api-fuzz` does so with 2,000.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import trio

from isthmus.ops.serve import serve
from isthmus.ops.tokens import SCOPES, digest_of
from isthmus.services.app import Surroundings, services_app
from isthmus.services.operations import PREFIX
from isthmus.store import services
from isthmus.store.open import open_store
from tests.services.world import history, keep

__all__ = ["SETTINGS", "TOKEN", "served"]

SETTINGS = Path(__file__).with_name("schemathesis.toml")
TOKEN = f"isthmus_{'0' * 12}_{'f' * 64}"


def _now() -> datetime:
    return datetime.now(UTC)


def _token() -> services.Token:
    return services.Token(
        id="0" * 12,
        name="fuzz",
        source="fuzz",
        scopes=list(SCOPES),
        digest=digest_of(TOKEN.encode()),
        created_at=_now(),
        created_by="test",
        expires_at=_now() + timedelta(days=1),
    )


@contextmanager
def served() -> Iterator[str]:
    """The URL of services on a store on disk, where `TOKEN` opens everything."""
    told: SimpleQueue[tuple[str, trio.lowlevel.TrioToken, trio.CancelScope]] = SimpleQueue()

    async def main(state: Path) -> None:
        async with open_store(state) as store, trio.open_nursery() as nursery:
            await keep(store, history())
            await store.write(lambda tx: services.add_token(tx, _token()))
            around = Surroundings(store=store, now=_now, rate_per_s=10_000.0, burst=10_000)
            url = await nursery.start(serve, services_app(around), ("127.0.0.1", 0))
            told.put((url, trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    with tempfile.TemporaryDirectory() as state:
        thread = threading.Thread(target=trio.run, args=(main, Path(state)), daemon=True)
        thread.start()
        url, loop, scope = told.get(timeout=30)
        try:
            yield url
        finally:
            loop.run_sync_soon(scope.cancel)
            thread.join(30)


def main(examples: str) -> int:
    """Run schemathesis; its exit code."""
    with served() as url:
        program = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(SETTINGS)]
        command = [*program, "run", f"{url}{PREFIX}/openapi.json"]
        options = ["--max-examples", examples, "--continue-on-failure"]
        hooks = str(SETTINGS.parents[2])
        env = {**os.environ, "PYTHONPATH": hooks, "ISTHMUS_API_TOKEN": TOKEN}
        return subprocess.run([*command, *options], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
