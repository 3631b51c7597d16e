"""The silence button: where it is, and what counts as pressing it. Pure."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.values import Level, Reading

BUTTON = "silence-button"  # of the pin's malfunction alarm, output-silence-button


class SilenceSettings(BaseModel):
    """Either ``point`` or ``gpio``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    point: str | None = Field(None, description="A digital point that a source reads")
    pressed: Literal[0, 1] = Field(1, description="(point) its value while the button is pressed")
    gpio: int | None = Field(None, ge=0, le=27, description="A pin by its BCM number, with the button between it and ground (pull: up)")
    pull: Literal["up", "down"] = Field("up", description="(gpio) up: pressed is low; down: pressed is high, to 3.3 V")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.point is None) == (self.gpio is None):
            raise ValueError("write either point: asset/signal or gpio: pin, one of the two")
        return self


class Press:
    """Finds the moment of pressing. A button that is pressed when the node starts, or stuck, silences nothing."""

    def __init__(self) -> None:
        self._held: bool | None = None

    def update(self, held: bool | None) -> bool:
        """Whether this look is the first that finds it pressed; None is a look that told nothing."""
        if held is None:
            return False
        before, self._held = self._held, held
        return held and before is False


def held(reading: Reading, pressed: int) -> bool | None:
    """What a reading says of the button; None for a value that cannot be trusted."""
    if reading.value is None or reading.quality.level is Level.BAD:
        return None
    return (reading.value >= 0.5) == bool(pressed)
