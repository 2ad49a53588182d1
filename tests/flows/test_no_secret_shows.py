"""Peers that repeat our credentials in their errors: no file, page or process list of ours repeats them."""

import itertools
import json
import re
import signal
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import pytest
import trio

from isthmus.demo.process import DaemonProcess
from isthmus.demo.settings import write_configuration
from isthmus.demo.world import World, opened
from tests.crash.rig import CONTRACTS
from tests.flows import leaky_daemon

SPOKEN = ("crm", "psa", "netsuite", "planner")
"""The systems that are spoken to over HTTP; the legacy ERP is a folder."""
REFUSED_WRITES = (400, 422, 500, 409, 401)
REFUSED_READS = (500, 503, 500, 404, 409, 401, 400)
DAEMON = ("-X", "faulthandler", "-m", "isthmus")
LEAKY = ("-X", "faulthandler", str(Path(leaky_daemon.__file__)))


def credentials(directory: Path, world: World) -> set[str]:
    """What the daemon was given, line by line, and the sessions it has now."""
    given = [file.read_text() for file in (directory / "secrets").iterdir()]
    found = {line for text in given for line in text.splitlines() if not line.startswith("-----")}
    found |= set(world.crm.simulator.memory["sessions"])
    found |= set(world.netsuite.simulator.memory["tokens"])
    return {line for line in found if len(line) >= 16}


def forms(secret: str) -> list[str]:
    return [secret, quote_plus(secret), b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1]]


def hits(places: dict[str, bytes], secrets: set[str]) -> list[str]:
    """The places that hold a secret in one of its forms."""
    wanted = {form.encode() for secret in secrets for form in forms(secret)}
    return [place for place, content in places.items() if any(form in content for form in wanted)]


async def refuse(
    world: World, methods: tuple[str, ...], statuses: tuple[int, ...], secrets: set[str]
) -> None:
    """Plan failures in every system, each with one of the credentials in its words."""
    said: Iterator[str] = itertools.cycle(form for secret in sorted(secrets) for form in forms(secret)[:2])
    for instance, method, status in itertools.product(SPOKEN, methods, statuses):
        words = {"message": f"{status}, not with {next(said)}"}
        await world.systems[instance].fault("status", match={"method": method}, status=status, body=words)


async def business(world: World) -> None:
    """Deals are won and people join, so that every system is written to."""
    for number, contract in enumerate(CONTRACTS * 3):
        await world.crm.do(
            "win_deal",
            account=contract.account,
            name=f"{contract.deal} {number}",
            amount="1000.00",
            currency=contract.currency,
            entity=contract.entity,
            lines=contract.lines(),
            signed_on="2026-09-21",
            starts_on="2026-10-01",
            time_zone=contract.time_zone,
        )
        await world.psa.do(
            "add_user", name=f"Person {number}", role="Consulting", email=f"p{number}@example.com"
        )


async def failed(world: World, times: int) -> None:
    """Wait until that many planned failures have happened."""
    with trio.fail_after(60):
        while _fired(world) < times:  # noqa: ASYNC110  another process meets them
            await trio.sleep(0.25)


def _fired(world: World) -> int:
    return sum(
        fault.fired for instance in SPOKEN for fault in world.systems[instance].simulator.faults.faults
    )


async def everything_seen(daemon: DaemonProcess) -> dict[str, bytes]:
    """What an operator, a scraper or another user of the box can read of a running daemon."""
    told = daemon.log.read_text()
    (ops,) = re.findall(r"^ops (\S+)$", told, re.MULTILINE)[-1:]
    places: dict[str, bytes] = {}
    async with httpx.AsyncClient(base_url=ops) as client:
        for page in ("/metrics", "/readyz?verbose", "/livez"):
            places[page] = (await client.get(page)).content
    for path in ("/v1/status", "/v1/exceptions"):
        places[f"admin {path}"] = json.dumps(await daemon.ask(path)).encode()
    return places | process(daemon.pid)


def process(pid: int) -> dict[str, bytes]:
    return {f"/proc/PID/{name}": Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")}


def files(directory: Path) -> dict[str, bytes]:
    """All but those the secrets were given in."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file() and file.parent.name != "secrets"
    }


async def life_with_careless_peers(directory: Path, program: tuple[str, ...]) -> list[str]:
    """Returns the places that hold a credential after many calls failed."""
    async with opened(seed=35) as world:
        write_configuration(directory, world)
        daemon = DaemonProcess(directory, program)
        try:
            await daemon.start()
            await trio.sleep(1.5)
            secrets = credentials(directory, world)
            await refuse(world, ("POST", "PUT", "PATCH"), REFUSED_WRITES, secrets)
            await business(world)
            await failed(world, 6)
            await refuse(world, ("GET",), REFUSED_READS, secrets)
            await failed(world, 20)
            secrets |= credentials(directory, world)
            places = await everything_seen(daemon)
            await daemon.stop(signal.SIGABRT)
        finally:
            daemon.kill()
        places |= files(directory)
        assert b"Fatal Python error: Aborted" in places["daemon.log"]
        return hits(places, secrets)


@pytest.mark.timeout(120)
async def test_no_credential_is_in_log_database_metrics_or_process(tmp_path: Path) -> None:
    assert await life_with_careless_peers(tmp_path, DAEMON) == []


@pytest.mark.timeout(120)
async def test_without_the_scrubber_they_are_in_the_database_and_the_log(tmp_path: Path) -> None:
    """The mutant beside the guarantee."""
    found = await life_with_careless_peers(tmp_path, LEAKY)
    assert {"daemon.log", "state/isthmus.db"} <= {place.removesuffix("-wal") for place in found}
