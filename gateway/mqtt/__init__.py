"""The gateway's own MQTT client: no more of MQTT 5 and 3.1.1 than a gateway needs, and as little Python for each message as there can be."""


class MqttError(Exception):
    """The session is over or cannot begin: what the broker did or said, and what would be right where that is known."""


class MalformedPacket(MqttError):
    """The broker sent what is no MQTT: nothing that follows on this connection can be trusted."""


class WrongVersion(MqttError):
    """The broker does not speak the version that was asked for."""
