"""A real daemon between simulated systems, killed again and again; the systems' ledgers are the judge."""

import random
from pathlib import Path

import trio

from isthmus.demo.books import Comparison, compare, read_ledgers
from isthmus.demo.contracts import Contract
from isthmus.demo.process import DaemonProcess
from isthmus.demo.settings import write_configuration
from isthmus.demo.world import World, opened

ROAD = Contract(
    account="Kestrel Shipping",
    deal="Road",
    entity="acme-us",
    currency="USD",
    time_zone="America/New_York",
    rates={"consulting": 150},
)
BASEMENT = Contract(
    account="Basalt Werke",
    deal="Basement",
    entity="acme-de",
    currency="EUR",
    time_zone="Europe/Berlin",
    rates={"consulting": 100},
)
CONTRACTS = (ROAD, BASEMENT)


async def survive(
    directory: Path,
    *,
    kills: int,
    seed: int,
    program: tuple[str, ...] = ("-m", "isthmus"),
    slow_s: float = 0.0,
) -> list[Comparison]:
    """Kill a daemon ``kills`` times while time is approved, then let it finish; the closing table.

    Args:
        seed: Of the moments at which it dies.
        program: What is run instead of the daemon: one with a planted bug.
        slow_s: How long the ERP takes for a write, which widens the moments a bug needs.
    """
    dice = random.Random(seed)
    async with opened(seed=seed) as world:
        # Reading some time twice would heal a lost page before it is noticed.
        write_configuration(directory, world, changed={"psa": {"overlap_s": 0}})
        daemon = DaemonProcess(directory)
        try:
            await daemon.start()
            await _provision(world)
            await daemon.stop()
            daemon = DaemonProcess(directory, program)
            await daemon.start()
            for number in range(kills):
                if slow_s:
                    match = {"method": "PUT", "path_prefix": "/services/rest/record/v1/timeBill"}
                    await world.netsuite.fault("delay", match=match, delay_s=slow_s, times=4)
                await _work(world, number)
                await trio.sleep(dice.uniform(0.0, 1.0))
                daemon.kill()
                await daemon.start()
            return await _finish(world)
        finally:
            daemon.kill()


async def _provision(world: World) -> None:
    """Both projects, and one person who works on them."""
    for contract in CONTRACTS:
        await world.crm.do(
            "win_deal",
            account=contract.account,
            name=contract.deal,
            amount="1000.00",
            currency=contract.currency,
            entity=contract.entity,
            lines=contract.lines(),
            signed_on="2026-09-21",
            starts_on="2026-10-01",
            time_zone=contract.time_zone,
        )
    await world.psa.do("add_user", name="Consultant One", role="Consulting", email="one@example.com")
    with trio.fail_after(30):
        # Another process makes them, so there is no event to wait for.
        while sum(each.external_key is not None for each in await world.psa.of_kind("Workspace")) < 2:  # noqa: ASYNC110
            await trio.sleep(0.05)


async def _work(world: World, number: int) -> None:
    """Two days of work on each project are approved."""
    (user,) = [each for each in await world.psa.of_kind("User") if each.fields["role_id"]]
    for workspace in await world.psa.of_kind("Workspace"):
        entries = [
            await world.psa.do(
                "log_time",
                workspace=workspace.id,
                user=user.id,
                date=f"2026-10-{1 + (2 * number + day) % 28:02d}",
                hours="1.5",
                service="Consulting",
            )
            for day in range(2)
        ]
        await world.psa.do("approve_time", entries=[entry["id"] for entry in entries])


async def _finish(world: World) -> list[Comparison]:
    """The closing table once it agrees, or as it stands when nothing has moved for a while."""
    table = compare(await read_ledgers(world), contracts=CONTRACTS)
    moved_at = trio.current_time()
    while not all(row.agrees for row in table) and trio.current_time() - moved_at < 12:
        await trio.sleep(0.25)
        before, table = table, compare(await read_ledgers(world), contracts=CONTRACTS)
        if table != before:
            moved_at = trio.current_time()
    return table


def lost(table: list[Comparison]) -> int:
    return sum(row.lost for row in table)


def doubled(table: list[Comparison]) -> int:
    return sum(row.doubled for row in table)
