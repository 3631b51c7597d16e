"""Which bytes on a serial line are the answer to the request that waits. Imported only with pymodbus, whose framer this replaces."""

from pymodbus.framer import FramerRTU
from pymodbus.pdu import ModbusPDU

_BITS, _REGISTERS = (1, 2), (3, 4)  # functions that read; Modbus Application Protocol V1.1b3, section 6
_EXCEPTION = 0x80
_ADDRESS_FUNCTION_COUNT, _CRC = 3, 2  # bytes


class AnswerFramer(FramerRTU):
    """Finds the answer wherever it stands: behind noise (a driver that switches on), behind the adapter's echo of the request, behind the
    late answer of another unit.

    Of a read only what has the unit, the function and the length that were asked for, and a sound CRC, is an answer; or an exception of that
    unit and function. Whatever else comes is passed over until the time is up. pymodbus's own takes the first bytes that look like a frame,
    and throws everything away when they are none.
    """

    _sent = b""
    _asked: tuple[int, int] | None = None  # function, and bytes of data in its answer; None where it is no read

    def buildFrame(self, message: ModbusPDU) -> bytes:  # noqa: N802 - pymodbus's name
        function, count = message.function_code, getattr(message, "count", 0)
        size = {**dict.fromkeys(_BITS, -(-count // 8)), **dict.fromkeys(_REGISTERS, 2 * count)}.get(function)
        self._asked = (function, size) if size else None
        self._sent = super().buildFrame(message)
        return self._sent

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802 - pymodbus's name
        """How many bytes are done with, and the answer; 0 and None while there is none. ``data`` is all that came since the request."""
        if self._asked is None:
            return super().handleFrame(data, exp_devid, exp_tid)
        function, size = self._asked
        heads = {bytes([exp_devid, function, size]): size, bytes([exp_devid, function | _EXCEPTION]): 0}
        # An echo is passed over whole: with one zero behind it, its CRC is sound for an answer of one byte more.
        echo = data.find(self._sent)
        for at in range(echo + len(self._sent) if echo >= 0 else 0, len(data)):
            for head, more in heads.items():
                end = at + _ADDRESS_FUNCTION_COUNT + more + _CRC
                if not data.startswith(head, at) or end > len(data):
                    continue
                body = data[at : end - _CRC]
                if self.check_CRC(body, int.from_bytes(data[end - _CRC : end], "big")) and (pdu := self.decoder.decode(body[1:])):
                    pdu.dev_id, pdu.transaction_id = exp_devid, 0
                    return len(data), pdu
        return 0, None
