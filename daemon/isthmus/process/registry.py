"""Every process by the name that configuration, lanes and rows know it by."""

from isthmus.process.face import AnalyticalProcess, Process
from isthmus.process.rules.billing import Billing
from isthmus.process.rules.burn import BurnProcess
from isthmus.process.rules.change_order import ChangeOrder
from isthmus.process.rules.forecast import ForecastProcess
from isthmus.process.rules.project_setup import ProjectSetup
from isthmus.process.rules.schedule import Schedule
from isthmus.process.rules.utilization import UtilizationProcess

__all__ = ["ANALYTICAL", "PROCESSES", "TRANSACTIONAL"]

TRANSACTIONAL: dict[str, type[Process]] = {
    "project-setup": ProjectSetup,
    "billing": Billing,
    "schedule": Schedule,
    "change-order": ChangeOrder,
}
"""Run event by event, in log order, each with what it derives."""

ANALYTICAL: dict[str, type[AnalyticalProcess]] = {
    "burn": BurnProcess,
    "forecast": ForecastProcess,
    "utilization": UtilizationProcess,
}
"""Folded within the lane's lag window."""

PROCESSES: dict[str, type[Process] | type[AnalyticalProcess]] = {**TRANSACTIONAL, **ANALYTICAL}
