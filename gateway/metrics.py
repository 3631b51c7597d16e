"""What the gateway counts about itself, in Prometheus' text form. A registry of its own: two gateways in one process do not mix."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Every metric once; a test compares this list with the documentation."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.messages = Counter("muki_messages", "Messages received, by kind", ["kind"], registry=self.registry)
        self.values = Counter("muki_values", "Values committed to the store", registry=self.registry)
        self.rejects = Counter("muki_rejects", "Messages or parts of messages refused, by reason", ["reason"], registry=self.registry)
        self.rejects_unsaid = Counter("muki_rejects_unsaid", "Rejects not published because of the rate limit", registry=self.registry)
        self.duplicates = Counter("muki_duplicates", "Messages that were committed already, or were on their way", registry=self.registry)
        self.undeclared = Counter("muki_undeclared_values", "Values of nodes that never sent a birth", registry=self.registry)
        self.dropped = Counter(
            "muki_dropped",
            "Messages dropped without acknowledgement because a queue was full: the node sends them again",
            registry=self.registry,
        )
        self.dead_letters = Counter("muki_dead_letters", "Frames that went to the dead letters", registry=self.registry)
        self.dead_letters_lost = Counter(
            "muki_dead_letters_lost", "Dead letters that had to make room for newer ones", registry=self.registry
        )
        self.unapproved = Counter(
            "muki_unapproved", "Messages of nodes that nobody has approved: not acknowledged, they wait on the node", registry=self.registry
        )
        self.evidence = Counter(
            "muki_evidence",
            "Pictures received, by outcome: kept, duplicate, refused, unknown_event, no_room, failed",
            ["outcome"],
            registry=self.registry,
        )
        self.store_errors = Counter("muki_store_errors", "Writes that failed and were tried again", registry=self.registry)
        self.journal_errors = Counter("muki_journal_errors", "Journal writes that failed and were tried again", registry=self.registry)
        self.commit_seconds = Histogram("muki_commit_seconds", "Time from store write to ledger commit", registry=self.registry)
        self.queue_values = Gauge("muki_queue_values", "Values that wait for the store", registry=self.registry)
        self.alarm_queue = Gauge("muki_alarm_queue", "Alarm events and births that wait for the journal", registry=self.registry)
        self.nodes_online = Gauge("muki_nodes_online", "Nodes that are online and telling", registry=self.registry)
        self.alarms_standing = Gauge("muki_alarms_standing", "Alarms that are not normal", registry=self.registry)
        self.broker_connected = Gauge("muki_broker_connected", "1 while the MQTT session is up", registry=self.registry)
        self.store_up = Gauge("muki_store_up", "1 while the store takes writes", registry=self.registry)

    def text(self) -> bytes:
        """The exposition format, version 0.0.4, UTF-8."""
        return generate_latest(self.registry)
