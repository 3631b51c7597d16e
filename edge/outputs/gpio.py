"""A relay or transistor on a pin of a Raspberry Pi, through gpiozero and lgpio (the kernel's gpiochip device)."""

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from edge.errors import Misconfigured, Retry
from edge.outputs import OutputContext, OutputSettings


class GpioSettings(OutputSettings):
    """``pin`` by the number of the Broadcom chip (GPIO17 is 17), not of the header."""

    pin: int = Field(ge=0, le=27, description="BCM number: 17 is GPIO17, pin 11 of the header")
    active_low: bool = Field(False, description="The pin is low when energised, as the inputs of most relay boards want it")


class GpioOutput:
    """One pin. It is de-energised when it is opened, and an input, which lets a relay drop, once it is closed."""

    Settings: ClassVar[type[OutputSettings]] = GpioSettings

    def __init__(self, settings: OutputSettings, context: OutputContext) -> None:
        if not isinstance(settings, GpioSettings):
            raise TypeError(f"GpioOutput takes GpioSettings, not {type(settings).__name__}")
        self._settings = settings
        self._device: Any = None
        claim(context.shared, settings.pin, f"output {settings.name}")

    async def open(self) -> None:
        gpiozero = pins()
        pin = self._settings.pin
        try:
            self._device = gpiozero.OutputDevice(pin, active_high=not self._settings.active_low, initial_value=False)
        except Exception as error:  # lgpio and gpiozero have many types, all of which say that the pin is not to be had
            raise Retry(f"GPIO{pin}: {error}; does another program hold the pin?") from None

    async def write(self, energised: bool) -> None:
        if self._device is None:
            raise Retry(f"GPIO{self._settings.pin}: not open")
        try:
            self._device.value = energised
        except Exception as error:  # as above
            raise Retry(f"GPIO{self._settings.pin}: {error}") from None

    async def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()


def claim(shared: dict[str, Any], pin: int, who: str) -> None:
    """Raises Misconfigured when two things of one node want the same pin."""
    first = shared.setdefault(f"gpio {pin}", who)
    if first != who:
        raise Misconfigured(f"GPIO{pin} belongs to {first} already: each has a pin of its own")


def pins() -> Any:
    """The library gpiozero (which is untyped), with the pins of this machine.

    Raises Misconfigured when it is not installed, and Retry when there are no pins.
    A factory that was chosen before (``Device.pin_factory``, or the environment's GPIOZERO_PIN_FACTORY) is kept: gpiozero's own mock
    factory runs a node without any pins.
    """
    os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")  # else gpiozero falls back to drivers that know no new board
    # lgpio makes a pipe in its working folder, which it also changes to; on a device that folder is read-only.
    if "LG_WD" not in os.environ and os.environ["GPIOZERO_PIN_FACTORY"] == "lgpio":
        os.environ["LG_WD"] = tempfile.mkdtemp(prefix="muki-gpio-")
    here = Path.cwd()
    try:
        gpiozero = importlib.import_module("gpiozero")
        gpiozero.Device.ensure_pin_factory()
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error.name} is not installed: pip install gpiozero lgpio, and start the node again") from None
    except Exception as error:  # lgpio.error, PinUnknownPi, BadPinFactory, PermissionError: all say that there are no pins to be had
        raise Retry(f"no GPIO: {error}; is this a Raspberry Pi, and may this user open /dev/gpiochip0 (group gpio)?") from None
    finally:
        os.chdir(here)
    return gpiozero
