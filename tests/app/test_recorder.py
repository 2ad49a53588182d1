"""What the rules need to know of the configuration stands in the log, once for each change."""

from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.app.recorder import record_configuration
from isthmus.config import Config, ConnectorConfig, DaemonConfig
from isthmus.config.model import DimensionsConfig
from isthmus.config.problems import Places
from isthmus.delivery.lane import Lane
from isthmus.events import DimensionsRevised, RoutesRevised
from isthmus.store import log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.delivery.given import PATIENT

AT = datetime(2026, 10, 30, 12, tzinfo=UTC)


def lane(name: str, *kinds: str, **changes: Any) -> dict[str, Lane]:
    fields: dict[str, Any] = {"name": name, "instance": "erp", "kinds": frozenset(kinds), "retry": PATIENT}
    return {name: Lane(**{**fields, **changes})}


def config(tmp_path: Any, **dimensions: DimensionsConfig) -> Config:
    return Config(
        directory=tmp_path,
        daemon=DaemonConfig(state_dir=tmp_path),
        connectors={"erp": ConnectorConfig(plugin="erp", entity="us", settings={})},
        lanes={},
        routes={},
        dimensions=dimensions,
        places=Places(tmp_path),
    )


async def recorded(store: Store, given: Config, lanes: dict[str, Lane]) -> int:
    return await store.write(lambda tx: record_configuration(tx, given, lanes, AT))


async def words(store: Store) -> list[DimensionsRevised | RoutesRevised]:
    def unit(tx: Tx) -> list[DimensionsRevised | RoutesRevised]:
        events = [row.event() for row in log.search(tx, limit=100)]
        return [event for event in events if isinstance(event, (DimensionsRevised, RoutesRevised))]

    return await store.read(unit)


MAPPED = DimensionsConfig(services={"consulting": {"item": "C"}}, origins={"expense": {"item": "E"}})


async def test_a_table_is_told_when_it_changes_and_not_at_every_start(tmp_path: Any) -> None:
    async with open_memory_store(now=lambda: AT) as store:
        assert await recorded(store, config(tmp_path), {}) == 0, "no table, nothing to tell"
        assert await recorded(store, config(tmp_path, us=MAPPED), {}) == 1
        assert await recorded(store, config(tmp_path, us=MAPPED), {}) == 0
        richer = DimensionsConfig(services={**MAPPED.services, "design": {"item": "D"}})
        assert await recorded(store, config(tmp_path, us=richer), {}) == 1
        assert await recorded(store, config(tmp_path), {}) == 1, "a table that is gone is told too"
        told = [(word.revision, sorted(word.services)) for word in await words(store)]  # type: ignore[union-attr]
    assert told == [(1, ["consulting"]), (2, ["consulting", "design"]), (3, [])]


async def test_a_table_of_an_entity_without_a_connector_is_told(tmp_path: Any) -> None:
    async with open_memory_store(now=lambda: AT) as store:
        assert await recorded(store, config(tmp_path, de=MAPPED), {}) == 1
        assert [word.entity for word in await words(store)] == ["de"]


@pytest.mark.parametrize(
    ("lanes", "carried"),
    [
        pytest.param(
            lane("b", "contract.amended", "charge.determined") | lane("a", "contract.amended"),
            {"contract.amended": ["a", "b"]},
            id="the lanes of each confirmed kind, by name",
        ),
        pytest.param(lane("a", "charge.determined"), None, id="nobody waits for a charge"),
        pytest.param(lane("a", "contract.amended", stage="shadow"), None, id="a shadow confirms nothing"),
        pytest.param(
            lane("a", "contract.amended", entities=frozenset({"de"}))
            | lane("b", "contract.amended", entities=frozenset({"us"})),
            {"contract.amended": ["b"]},
            id="lanes of other entities do not count",
        ),
    ],
)
async def test_which_lanes_a_change_order_waits_for(
    tmp_path: Any, lanes: dict[str, Lane], carried: dict[str, list[str]] | None
) -> None:
    async with open_memory_store(now=lambda: AT) as store:
        await recorded(store, config(tmp_path), lanes)
        told = [
            word for word in await words(store) if isinstance(word, RoutesRevised) and word.entity == "us"
        ]
        assert [word.lanes for word in told] == ([] if carried is None else [carried])
        assert await recorded(store, config(tmp_path), lanes) == 0
        if carried is not None:
            assert await recorded(store, config(tmp_path), {}) >= 1, "a lane that is gone is not waited for"
