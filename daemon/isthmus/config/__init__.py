"""The configuration: files in, checked values out, and every problem at once."""

from isthmus.config.bind import bind, bind_notify, check
from isthmus.config.credentials import Secrets
from isthmus.config.load import load
from isthmus.config.model import (
    Config,
    ConnectorConfig,
    ControlConfig,
    DaemonConfig,
    LaneConfig,
    ReconcileConfig,
    ServicesConfig,
    listen_address,
)
from isthmus.config.notify import MailConfig, NotifyConfig
from isthmus.config.problems import CODES, ConfigError, Problem, render

__all__ = [
    "CODES",
    "Config",
    "ConfigError",
    "ConnectorConfig",
    "ControlConfig",
    "DaemonConfig",
    "LaneConfig",
    "MailConfig",
    "NotifyConfig",
    "Problem",
    "ReconcileConfig",
    "Secrets",
    "ServicesConfig",
    "bind",
    "bind_notify",
    "check",
    "listen_address",
    "load",
    "render",
]
