"""The settings of the daemon, its connectors and its lanes. ``config/README.md`` explains each."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cronsim import CronSim, CronSimError
from msgspec import Meta

from isthmus.config.notify import MailConfig
from isthmus.config.problems import Places, Problem

__all__ = [
    "Config",
    "ConnectorConfig",
    "ControlConfig",
    "DaemonConfig",
    "DimensionsConfig",
    "LaneConfig",
    "ReconcileConfig",
    "ServicesConfig",
]

Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[daemon]``: the process itself."""

    state_dir: Path
    """Where the database and its backups live: a local disk, 0700."""
    ops_listen: str = "127.0.0.1:9477"
    """Address of /metrics, /livez and /readyz, ``host:port``; port 0 takes a free one."""
    ops_hosts: tuple[Name, ...] = ()
    """Further names a scraper may use in its Host header."""
    admin_socket: Path | None = None
    """The CLI's way in; ``admin.sock`` in the state directory where not given."""
    secrets_dir: Path | None = None
    """Where credentials are looked for after ``$CREDENTIALS_DIRECTORY``: 0700, its files 0600."""
    plugins: tuple[Name, ...] = ()
    """Distributions that may be loaded: ``isthmus-netsuite``, or ``isthmus-netsuite==0.1.0``."""
    drain_s: Annotated[float, Meta(ge=0, le=600)] = 20.0
    """How long a stop waits for deliveries in hand."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        listen_address(self.ops_listen)

    @property
    def socket(self) -> Path:
        """Where the admin socket is."""
        return self.admin_socket or self.state_dir / "admin.sock"


class ConnectorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[connectors.<instance>]``: one system. What is not named here belongs to the plugin."""

    plugin: Name
    """The connector's name: ``salesforce``."""
    entity: Name
    """The legal entity of facts whose record names none."""
    poll_s: Seconds = 60.0
    """Time between two looks at a source that had nothing more."""
    read: tuple[Name, ...] | None = None
    """The streams that are read; all when not given, none when empty."""
    settings: Mapping[str, Any] = {}
    """The plugin's own settings as the file has them, until `isthmus.config.bind` checks them."""


class LaneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[lanes.<name>]``: deliveries to one system, or the facts one process reads."""

    connector: str | None = None
    """The connector instance that takes what is routed here; either this or ``process``."""
    process: str | None = None
    """The process that runs here; it takes the facts it consumes and needs no route."""
    entities: tuple[Name, ...] | None = None
    """Only facts of these legal entities; all when not given."""
    mode: Literal["transactional", "analytical"] = "transactional"
    """Every fact in order with a receipt, or the newest per subject within ``lag_window_s``."""
    lag_window_s: Seconds = 60.0
    """Analytical lanes: how long changes are collected before the newest is said."""
    stage: Literal["off", "shadow", "live"] = "live"
    """``off`` records nothing, ``shadow`` decides and records but sends nothing."""
    timeout_s: Seconds = 30.0
    """The longest one attempt may take."""
    concurrency: Annotated[int, Meta(ge=1, le=256)] | None = None
    """Subjects in work at the same time; the connector's own number when not given."""
    retry_first_s: Seconds = 5.0
    """The wait after the first failure; each further one doubles."""
    retry_max_s: Seconds = 900.0
    """The longest wait between two attempts."""
    max_age_s: Seconds = 259_200.0
    """A delivery that failed for this long becomes a dead letter."""
    hold_on_dead: bool = False
    """Whether a dead letter holds back later facts of its subject."""
    max_open: Annotated[int, Meta(ge=1)] = 1_000_000
    """Undelivered facts past which sources are not read further."""

    def __post_init__(self) -> None:
        if self.retry_first_s > self.retry_max_s:
            raise ValueError("retry_first_s must not be more than retry_max_s")


Dimension = Mapping[str, str]
"""What one row sets: ``item``, ``service``, ``department``, ``class``, ``location``, or the ledger's own."""


class DimensionsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[dimensions.<entity>]``: how a legal entity's ledger names what is billed.

    Once there is a table, what has no row in it waits with ``no_mapping``.
    """

    services: Mapping[str, Dimension] = {}
    """By the service of hours."""
    origins: Mapping[str, Dimension] = {}
    """By the origin of everything else: expense, milestone, installment, retainer, subscription."""


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[control]``: whose work an exception is, and when one person is not enough."""

    finance: Name = "finance"
    """Who owns contracts, charges, invoices, payments and periods."""
    delivery: Name = "delivery"
    """Who owns projects, people, time, expenses and milestones."""
    forecasting: Name = "forecasting"
    """Who owns assignments, forecasts and utilization."""
    operations: Name = "operations"
    """Who owns what stands still (parked, quarantined), and records of a source that could not be read."""
    second_person_above: Decimal | None = None
    """The amount, in any currency, above which skipping or resolving an exception needs a second person."""

    @property
    def owners(self) -> dict[str, str]:
        """By domain."""
        return {
            "finance": self.finance,
            "delivery": self.delivery,
            "forecasting": self.forecasting,
            "intake": self.operations,
            "operations": self.operations,
        }


class ServicesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[services]``: what other systems may call. Without the table nothing is served."""

    listen: str = "127.0.0.1:9478"
    """Its own address, ``host:port``; port 0 takes a free one."""
    hosts: tuple[Name, ...] = ()
    """Further names a caller may use in its Host header."""
    rate_per_s: Annotated[float, Meta(gt=0, le=10_000)] = 20.0
    """Requests of one token in the long run."""
    burst: Annotated[int, Meta(ge=1, le=100_000)] = 40
    """Requests of one token at once."""

    def __post_init__(self) -> None:
        listen_address(self.listen, "listen")


class ReconcileConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[reconcile.<pair>]``: two systems that must agree, and when they are compared."""

    kind: Literal["time", "expense", "milestone", "invoice", "hours", "contract"]
    """What is compared."""
    left: Name
    """The connector instance that masters it."""
    right: Name
    """The connector instance it was written to."""
    entity: Name | None = None
    """Only what belongs to this legal entity; all when not given."""
    schedule: str = "0 5 * * *"
    """When, in UTC, as cron writes it: minute, hour, day, month, weekday."""
    days: Annotated[int, Meta(ge=1, le=3660)] = 62
    """How many days back a comparison looks where nobody says from when."""
    settle_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 3600.0
    """What changed so short a time ago is timing, not drift."""
    tolerance: Decimal = Decimal(0)
    """Amounts that differ by no more agree."""
    hours_tolerance: Decimal = Decimal("0.01")
    """Hours likewise; a ledger may count minutes."""

    def __post_init__(self) -> None:
        if self.left == self.right:
            raise ValueError("left and right must be two connectors")
        try:
            CronSim(self.schedule, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(
                f'schedule "{self.schedule}" is none; write minute, hour, day, month and weekday, '
                'such as "0 5 * * *"'
            ) from error
        for name in ("tolerance", "hours_tolerance"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ValueError(f"{name} must lie between 0 and 1000")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration that has passed all checks but those of the plugins' own settings."""

    directory: Path
    daemon: DaemonConfig
    connectors: Mapping[str, ConnectorConfig]
    lanes: Mapping[str, LaneConfig]
    routes: Mapping[str, tuple[str, ...]]
    """The lanes that carry each event kind."""
    dimensions: Mapping[str, DimensionsConfig] = {}
    """By legal entity."""
    control: ControlConfig = ControlConfig()
    services: ServicesConfig | None = None
    """None: there are none."""
    mail: MailConfig = MailConfig()
    notify: Mapping[str, Mapping[str, Any]] = {}
    """By owner, as the file has it, until `isthmus.config.bind_notify` checks it: there are secrets in it."""
    reconcile: Mapping[str, ReconcileConfig] = {}
    """By name of the pair."""
    places: Places
    """Where each key stands, for errors found later."""
    warnings: tuple[Problem, ...] = ()


def listen_address(text: str, setting: str = "ops_listen") -> tuple[str, int]:
    """Host and port of ``127.0.0.1:9477`` or ``[::1]:9477``.

    Args:
        setting: Where it stands, for the error.

    Raises:
        ValueError: it is not in that form.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) != (bare != host) or not port.isascii() or not port.isdigit():
        raise ValueError(f'{setting} "{text}" is no address; write host:port, such as "127.0.0.1:9477"')
    if int(port) > 65535:
        raise ValueError(f"{setting} has port {port}, which is more than 65535")
    return bare, int(port)
