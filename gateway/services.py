"""What the gateway's rooms share once it runs; the API gets exactly this."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from gateway.accounts.passes import Passes
from gateway.accounts.throttle import Throttle
from gateway.accounts.users import Users
from gateway.aggregation import Aggregation, periods
from gateway.approvals import Approvals
from gateway.config import GatewayConfig
from gateway.evidence import Evidence
from gateway.ledger import Ledger
from gateway.live import LiveBus
from gateway.metrics import Metrics
from gateway.nodes import Nodes
from gateway.notify.link import Links
from gateway.notify.receipts import Receipts
from gateway.sign_ins import SignIns
from gateway.store import TimeSeriesStore
from rules.shifts import Shifts

if TYPE_CHECKING:
    from gateway.alarms.journal import Journal
    from gateway.annunciator import Annunciator
    from gateway.rejects import Rejects


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running gateway.

    ``store``, ``ledger``, ``journal``, ``users``, ``passes``, ``sign_ins``, ``receipts`` and ``rejects.recent`` block: call them in a worker thread.
    ``nodes``, ``bus`` and ``annunciator`` belong to the event loop and never block. Whoever changes an alarm (``journal.act``) hands the
    view to ``annunciator.announce(view)`` on the event loop: that tells the live bus and the retained alarm topic.
    """

    config: GatewayConfig
    engine: Engine
    store: TimeSeriesStore
    ledger: Ledger
    journal: "Journal"
    nodes: Nodes
    bus: LiveBus
    metrics: Metrics
    annunciator: "Annunciator"
    rejects: "Rejects"
    approvals: Approvals
    aggregation: Aggregation
    users: Users
    passes: Passes
    throttle: Throttle
    receipts: Receipts
    evidence: Evidence
    sign_ins: SignIns
    links: Links | None = None

    @property
    def shifts(self) -> Shifts:
        """When the site's shifts begin."""
        return periods(self.config.shifts, self.config.time_zone)["shift"]
