"""The Modbus client that sources and outputs open: one way to reach a bus, whoever reads or drives it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import Misconfigured
from edge.sources.endpoint import HostPort
from edge.sources.modbus_settings import SerialLine

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

    Client = AsyncModbusTcpClient | AsyncModbusSerialClient

TCP_PORT = 502  # as registered
_NEVER = 1 << 30  # answers in a row that may fail to come until pymodbus closes: set before it connects, or the first connection has three
_BABBLE = 1024  # bytes without an answer in them after which all of them are thrown away; an answer has 255


def modbus_client(
    tcp: HostPort | None, rtu: SerialLine | None, *, timeout: float, folder: Path, trace: Callable[[bool, bytes], bytes] | None = None
) -> "Client":
    """A client that is not connected yet: it repeats and reconnects nothing by itself, because our runners decide that.

    ``timeout`` in seconds for each request; a relative serial port is resolved against ``folder``. ``trace`` is
    given what is sent (True) and what is received (False, all since the last sound frame), and returns it. Raises Misconfigured where pymodbus is
    not installed.
    """
    try:
        from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
    except ModuleNotFoundError:
        raise Misconfigured("pymodbus is not installed: pip install 'muki[edge]', and start the node again") from None

    if rtu is not None:
        from edge.modbus_rtu import AnswerFramer

        client: Client = AsyncModbusSerialClient(
            str(folder / rtu.port),
            baudrate=rtu.baudrate,
            bytesize=rtu.bytesize,
            parity=rtu.parity,
            stopbits=rtu.stopbits,
            timeout=timeout,
            retries=0,
            reconnect_delay=0,
            trace_packet=trace,
        )
        client.ctx.framer = AnswerFramer(client.ctx.framer.decoder)
        client.ctx.max_buffer_size = _BABBLE
        client.set_max_no_responses(_NEVER)
        return client
    assert tcp is not None  # noqa: S101 - the settings of source and output demand one of the two
    client = AsyncModbusTcpClient(tcp.host, port=tcp.port or TCP_PORT, timeout=timeout, retries=0, reconnect_delay=0, trace_packet=trace)
    client.set_max_no_responses(_NEVER)
    return client
