"""A daemon among peers that misbehave: it lives, holds little, and its other connectors are on time."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import trio

from tests.app.rig import ACME, Daemon, write_site
from tests.sdk.test_http_bombs import NASTY
from tests.sdk.wire import Answer, Peer, Stream, peer, reply

FACTS = 40
RSS_MAX = 64 * 1024 * 1024
"""What all the bad peers together may add to the daemon's memory."""

READS_OVER_HTTP = """
    class Things(Source):
        streams = ("things",)

        def __init__(self, http):
            self.http = http

        async def pull(self, stream, cursor):
            at = int(cursor or b"0")
            told = (await self.http.get("things", params={"after": at})).json()
            entries = [
                TimeApproved(
                    source="acme", occurred_at=datetime(2026, 10, 1, 9, tzinfo=UTC), entity="acme-us",
                    entry=f"acme:{n}", revision=1, project="acme:p", resource="acme:r", service="consulting",
                    worked_on=date(2026, 10, 1), approved_on=date(2026, 10, 1),
                    hours=Decimal("2.5"), billable=True,
                )
                for n in told["entries"]
            ]
            return Page(events=entries, next=str(at + len(entries)).encode(), more=told["more"])
"""


def plugin() -> str:
    """The rig's plugin, reading over HTTP with little patience."""
    code = dedent(ACME)
    begins, ends = code.index("class Things"), code.index("class Takes")
    code = code[:begins] + dedent(READS_OVER_HTTP).strip() + "\n\n\n" + code[ends:]
    code = code.replace("import Connector,", "import Connector, HttpLimits,")
    code = code.replace("    calls: str\n", '    calls: str\n    base_url: str = ""\n')
    return code.replace(
        "        yield Opened(source=Things(), sink=Takes(settings))",
        "        limits = HttpLimits(deadline_s=1.0, max_body_bytes=4_000_000)\n"
        "        async with ctx.http(settings.base_url, limits=limits) as http:\n"
        "            yield Opened(source=Things(http), sink=Takes(settings))",
    )


async def honest(stream: Stream, request: bytes) -> None:
    """One fact on a page, and more until all are told."""
    after = int(request.split(b"after=")[1].split()[0])
    body = b'{"entries": [%d], "more": true}' % after if after < FACTS else b'{"entries": [], "more": false}'
    await stream.send_all(reply(200, body))


@contextmanager
def peers(answers: dict[str, Answer]) -> Iterator[dict[str, Peer]]:
    """Peers on a thread of their own, since the test itself waits for processes."""
    running: dict[str, Peer] = {}
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def one(name: str, answer: Answer, task_status: trio.TaskStatus[None]) -> None:
        async with peer(answer) as served:
            running[name] = served
            task_status.started()
            await trio.sleep_forever()

    async def main() -> None:
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            stop.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            for name, answer in answers.items():
                await nursery.start(one, name, answer)
            ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert ready.wait(10)
    try:
        yield running
    finally:
        stop[0]()
        thread.join()


def wait_until(done: Callable[[], bool], what: str, log: Path) -> None:
    ends = time.monotonic() + 60
    while not done():
        assert time.monotonic() < ends, f"{what}\n{log.read_text()[-3000:]}"
        time.sleep(0.02)


def resident(daemon: Daemon) -> int:
    """The daemon's memory in bytes."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (kib,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.M)
    return int(kib) * 1024


def test_bad_peers_hold_up_nobody_and_exhaust_nothing(tmp_path: Path) -> None:
    bad = {f"bad-{n}": answer for n, (_, answer) in enumerate(NASTY)}
    with peers({"acme": honest, **bad}) as running:
        tables = "".join(
            f'[connectors.{name}]\nplugin = "acme"\nentity = "e"\npoll_s = 0.2\ncalls = "{tmp_path}/x"\n'
            f'base_url = "{running[name].url}"\n'
            for name in bad
        )
        config = write_site(
            tmp_path, settings=f'base_url = "{running["acme"].url}"\n', more=tables, acme=plugin()
        )
        daemon = Daemon(config)
        calls = tmp_path / "calls"
        try:
            daemon.wait_ready()
            before = resident(daemon)

            def delivered() -> int:
                return calls.read_text().count("ended") if calls.exists() else 0

            wait_until(lambda: delivered() == FACTS, "the good one is held up", daemon.log)
            # A peer is asked again only when the call before has ended: each of them was.
            wait_until(
                lambda: all(len(running[name].heard) >= 2 for name in bad), "a call never ends", daemon.log
            )
            assert resident(daemon) - before < RSS_MAX
            assert daemon.get("/livez")[0] == 200
            assert daemon.get("/readyz")[0] == 200
            assert delivered() == FACTS
        finally:
            daemon.kill()
