"""From configuration to actors: which lanes there are, what each takes, which process runs where."""

from collections.abc import Mapping
from datetime import time, timedelta
from zoneinfo import ZoneInfo

from isthmus.app.teller import Owner
from isthmus.config import Config, LaneConfig, MailConfig, NotifyConfig
from isthmus.delivery.lane import Lane
from isthmus.delivery.policy import RetryPolicy
from isthmus.ops.notices.channels import Channel
from isthmus.ops.notices.deciding import Rules
from isthmus.ops.notices.mail import Mail
from isthmus.ops.notices.webhook import Webhook
from isthmus.ops.planner_lag import Carrier
from isthmus.ops.workbench import Site

__all__ = ["carrier", "delivery_lanes", "owners", "process_lanes", "siblings", "site"]


def delivery_lanes(config: Config) -> dict[str, Lane]:
    """The lanes that end in a connector and are not off, by name."""
    kinds: dict[str, set[str]] = {}
    for kind, lanes in config.routes.items():
        for lane in lanes:
            kinds.setdefault(lane, set()).add(kind)
    return {
        name: _lane(name, each, each.connector, kinds.get(name, set()))
        for name, each in config.lanes.items()
        if each.connector is not None and each.stage != "off"
    }


def process_lanes(config: Config) -> dict[str, LaneConfig]:
    """The lanes that end in a process and are not off, by name."""
    return {
        name: each for name, each in config.lanes.items() if each.process is not None and each.stage != "off"
    }


def carrier(process: str, kind: str, config: Config) -> Carrier:
    """Who says a kind of statement, and which live lanes take it to a planner."""
    lanes = delivery_lanes(config)
    return Carrier(
        process=process,
        says=[
            (name, None if each.entities is None else frozenset(each.entities))
            for name, each in process_lanes(config).items()
            if each.process == process
        ],
        carries=[
            (name, lane.entities)
            for name, lane in lanes.items()
            if lane.stage == "live" and kind in lane.kinds
        ],
    )


def siblings(lanes: Mapping[str, Lane]) -> dict[str, list[str]]:
    """The lanes of each connector instance."""
    found: dict[str, list[str]] = {}
    for name, lane in lanes.items():
        found.setdefault(lane.instance, []).append(name)
    return found


def _lane(name: str, config: LaneConfig, instance: str, kinds: set[str]) -> Lane:
    return Lane(
        name=name,
        instance=instance,
        kinds=frozenset(kinds),
        entities=None if config.entities is None else frozenset(config.entities),
        mode=config.mode,
        lag_window_s=config.lag_window_s if config.mode == "analytical" else 0.0,
        stage=config.stage,
        timeout_s=config.timeout_s,
        concurrency=config.concurrency,
        retry=RetryPolicy(first_s=config.retry_first_s, max_s=config.retry_max_s, max_age_s=config.max_age_s),
        hold_on_dead=config.hold_on_dead,
    )


def site(config: Config) -> Site:
    """What the workbench must know of the configuration."""
    lanes = {name: given for name, given in config.lanes.items() if given.connector is not None}
    billing = [name for name, given in config.lanes.items() if given.process == "billing"]
    return Site(
        billing=billing[0] if billing else "billing",
        pairs={name: pair.entity for name, pair in config.reconcile.items()},
        owners=config.control.owners,
        second_person_above=config.control.second_person_above,
        instances={name: str(given.connector) for name, given in lanes.items()},
        holds=frozenset(name for name, given in lanes.items() if given.hold_on_dead),
    )


def owners(told: Mapping[str, NotifyConfig], mail: MailConfig) -> list[Owner]:
    """Who is told, and over which channels."""
    return [_owner(name, given, mail) for name, given in told.items()]


def _owner(name: str, given: NotifyConfig, mail: MailConfig) -> Owner:
    channels: list[Channel] = []
    if given.email:
        channels.append(Mail(given.email, host=mail.host, port=mail.port, sender=mail.sender))
    if given.webhook is not None and given.secret is not None:
        channels.append(Webhook(given.webhook, given.secret, ca_file=given.ca_file))
    quiet = None
    if given.quiet is not None:
        begins, _, ends = given.quiet.partition("-")
        quiet = (time.fromisoformat(begins), time.fromisoformat(ends))
    every = timedelta(seconds=given.every_s)
    return Owner(
        name=name, rules=Rules(every=every, quiet=quiet, zone=ZoneInfo(given.zone)), channels=channels
    )
