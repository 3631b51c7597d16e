"""Spectra small enough to be told and kept as points: velocity in sixths of an octave, the envelope in tenths of a shaft order.

Waveforms stay on the device. What an engineer looks for in a spectrum, lines at orders of the shaft and how they grew, is in these lines: each is
a point of its own, so that it has a history, and a waterfall is a chart of it.
"""

from typing import Final, NamedTuple

import numpy as np

from contract.messages import PointDeclaration
from edge.processing.spectrum import Floats, Spectrum, rms_velocity
from models.bearing import FaultOrders

SIXTHS: Final = tuple(10.0 * 2 ** (step / 6) for step in range(55))  # edges of 54 bands, 10 Hz to 5,120 Hz
TENTH: Final = 0.1  # of an order
ORDERS: Final = 120  # bins of a tenth, from 0.05 to 12.05
_SPECTRUM = {"es": "Espectro de velocidad, RMS de la banda", "en": "Velocity spectrum, RMS of the band"}
_ENVELOPE = {"es": "Espectro de la envolvente, máximo", "en": "Envelope spectrum, largest"}
_ORDER = {"es": "Orden de la línea de falla", "en": "Order of the fault line"}


class Lines(NamedTuple):
    """Names of the points under the input, in order."""

    spectrum: tuple[str, ...]
    envelope: tuple[str, ...]
    orders: tuple[str, ...]


def names(orders: FaultOrders | None) -> Lines:
    """``spectrum/hz-00010`` by the lower edge in Hz; ``envelope/order-010`` by tenths of an order; none of these without a bearing."""
    spectrum = tuple(f"spectrum/hz-{int(edge):05}" for edge in SIXTHS[:-1])
    if orders is None:
        return Lines(spectrum, (), ())
    return Lines(
        spectrum, tuple(f"envelope/order-{tenth:03}" for tenth in range(1, ORDERS + 1)), tuple(f"{line}_order" for line in orders._fields)
    )


def declarations(lines: Lines, asset: str, period: float) -> dict[str, PointDeclaration]:
    declared = {name: PointDeclaration("mm/s", "analog", (0, 100), asset, _SPECTRUM, period) for name in lines.spectrum}
    declared |= {name: PointDeclaration("g", "analog", (0, 500), asset, _ENVELOPE, period) for name in lines.envelope}
    return declared | {name: PointDeclaration("1", "analog", (0, 100), asset, _ORDER, period) for name in lines.orders}


def velocity_lines(lines: Lines, spectrum: Spectrum, rate_hz: float) -> dict[str, float]:
    """mm/s RMS of each band that lies below half the rate."""
    edges = zip(lines.spectrum, SIXTHS, SIXTHS[1:], strict=False)
    return {name: rms_velocity(spectrum, low, high) for name, low, high in edges if high <= rate_hz / 2}


def envelope_lines(lines: Lines, frequency: Floats, amplitude: Floats, shaft_hz: float) -> dict[str, float]:
    """The largest amplitude within half a tenth of an order around each bin, in g; bins beyond the spectrum are left out."""
    found = {}
    for tenth, name in enumerate(lines.envelope, 1):
        low, high = ((tenth - 0.5) * TENTH * shaft_hz, (tenth + 0.5) * TENTH * shaft_hz)
        first, last = np.searchsorted(frequency, (low, high))
        if last > first:
            found[name] = float(np.max(amplitude[first:last]))
    return found
