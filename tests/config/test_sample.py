"""The sample in ``config/`` loads, binds to the real plugins' settings, and does what its comments say."""

import importlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from isthmus.config import Config, Secrets, bind, load
from isthmus.events import KINDS
from isthmus.ops.metrics import Metrics
from isthmus.process.registry import PROCESSES
from isthmus.sdk import Connector, Context, Opened

SAMPLE = Path(__file__).parents[2] / "config"

SETTINGS = {
    "salesforce": "isthmus_salesforce.settings:SalesforceSettings",
    "kantata": "isthmus_kantata.settings:KantataSettings",
    "netsuite": "isthmus_netsuite.settings:NetSuiteSettings",
    "legacy-erp": "isthmus_legacy_erp.settings:LegacyErpSettings",
    "runn": "isthmus_runn.settings:RunnSettings",
}

ROUTES = {
    "customer.changed": "netsuite-master legacy-master planner",
    "project.created": "psa netsuite-master legacy-master planner",
    "project.stage_changed": "planner",
    "contract.signed": "psa",
    "contract.amended": "psa",
    "schedule.revised": "netsuite-master",
    "demand.revised": "planner",
    "resource.changed": "planner",
    "charge.determined": "netsuite-charges legacy-charges psa-status",
    "charge.held": "psa-status",
    "charge.released": "psa-status",
    "charge.waived": "psa-status",
    "charge.posted": "psa-status",
    "invoice.released": "psa-status crm-status",
    "invoice.voided": "psa-status crm-status",
    "payment.received": "psa-status crm-status",
    "burn.revised": "planner-analytical",
    "forecast.revised": "planner-analytical",
}


def connector(plugin: str) -> type[Connector]:
    """A connector with the plugin's real settings; its other modules are not needed to check them."""
    module, _, name = SETTINGS[plugin].partition(":")

    class WithSettings(Connector):
        Settings = getattr(importlib.import_module(module), name)

        def open(self, settings: msgspec.Struct, ctx: Context) -> AbstractAsyncContextManager[Opened]:
            raise NotImplementedError

    WithSettings.name = WithSettings.title = plugin
    return WithSettings


@pytest.fixture(scope="module")
def sample() -> Config:
    return load(SAMPLE)


def test_the_sample_has_neither_errors_nor_warnings(sample: Config) -> None:
    assert sample.warnings == ()


def test_every_plugins_settings_are_accepted_with_credentials_as_the_unit_gives_them(
    sample: Config, tmp_path: Path
) -> None:
    for name in ("salesforce-key", "kantata-token", "netsuite-key", "runn-token"):
        (tmp_path / f"secret_{name}").write_text("not a real one\n")
    secrets = Secrets(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    bound = bind(sample, {plugin: connector(plugin) for plugin in SETTINGS}, secrets)
    assert set(bound) == {"crm", "psa", "netsuite", "legacy-de", "planner"}
    assert len(secrets.given) == 4


def test_every_fact_goes_where_the_flows_need_it(sample: Config) -> None:
    assert {kind: " ".join(lanes) for kind, lanes in sample.routes.items()} == ROUTES


def test_each_ledger_gets_the_charges_of_its_own_entity(sample: Config) -> None:
    entities = {name: sample.lanes[name].entities for name in ("netsuite-charges", "legacy-charges")}
    assert entities == {"netsuite-charges": ("acme-us",), "legacy-charges": ("acme-de",)}
    for name in entities:
        instance = sample.connectors[str(sample.lanes[name].connector)]
        assert (instance.entity,) == entities[name]


def test_every_process_runs_and_what_may_lag_says_so(sample: Config) -> None:
    runs = {lane.process: lane.mode for lane in sample.lanes.values() if lane.process}
    assert set(runs) == set(PROCESSES)
    assert [name for name, mode in runs.items() if mode == "analytical"] == [
        "burn",
        "forecast",
        "utilization",
    ]
    assert sample.lanes["planner-analytical"].mode == "analytical"


def test_the_sample_stays_within_the_budget_of_metric_series(sample: Config) -> None:
    metrics = Metrics()
    metrics.prepare(sample.connectors, sample.lanes, KINDS)
    content, _ = metrics.exposition()
    assert 400 < sum(not line.startswith(b"#") for line in content.splitlines()) < 2500
