"""Exposure at one place: 15 min average, dose of the shift over 8 h, and where it will stand at the end of the shift.

TWA8 = ΣC·T/8 and STEL = ΣC·t/15: 29 CFR 1910.1000(d), ACGIH. ISO 13374 blocks: data manipulation and state detection.
It tells the concentration at a place: it is no personal dosimeter, and no instrument certified for the area.
"""

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

from contract.messages import PointDeclaration
from contract.values import GOOD, Level, Quality, Reading, bad, uncertain, worst
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.dose import WINDOW, Average, Dose
from edge.processing.exposure_settings import ExposureSettings
from rules.shifts import Shifts

_SECOND = 1_000_000_000
_TEXTS = {
    "stel": {"es": "Promedio de 15 minutos", "en": "Average of 15 minutes"},
    "stel_coverage": {"es": "Parte medida de los 15 minutos", "en": "Measured part of the 15 minutes"},
    "stel_percent": {"es": "Promedio de 15 minutos respecto a su límite", "en": "15 minute average, of its limit"},
    "twa": {"es": "Dosis del turno sobre 8 h", "en": "Dose of the shift over 8 h"},
    "twa_projected": {"es": "Dosis sobre 8 h prevista al fin del turno", "en": "Dose over 8 h, projected to the end of the shift"},
    "twa_percent": {"es": "Dosis prevista respecto al límite de 8 h", "en": "Projected dose, of the 8 h limit"},
    "shift_average": {"es": "Promedio sobre la duración del turno", "en": "Average over the length of the shift"},
    "shift_average_projected": {"es": "Promedio previsto al fin del turno", "en": "Average projected to the end of the shift"},
    "shift_average_percent": {"es": "Promedio previsto respecto al límite reducido", "en": "Projected average, of the reduced limit"},
    "twa_coverage": {"es": "Parte medida del turno", "en": "Measured part of the shift"},
    "ceiling_exceeded": {"es": "Límite máximo superado", "en": "Ceiling exceeded"},
}


class ExposureProcessor:
    """Readings under the name of the input: ``INPUT/stel``, ``…/twa``, ``…/twa_projected``, ``…/twa_coverage`` and so on."""

    Settings: ClassVar[type[ProcessorSettings]] = ExposureSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, ExposureSettings):
            raise TypeError(f"ExposureProcessor takes ExposureSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._limits = settings.judged()
        self._shifts = Shifts.of(settings.shift_starts, settings.utc_offset, settings.time_zone)
        self._dose = Dose(round(settings.max_gap * _SECOND))
        self._doubt: tuple[int, Quality] | None = None
        self._sent: tuple[int, Quality, bool] | None = None  # when, of what quality, above the ceiling or not

    def wants(self) -> frozenset[str]:
        return frozenset((self._settings.input,))

    def points(self) -> Mapping[str, PointDeclaration]:
        unit, name, asset = self._settings.unit, self._settings.long_term, self._settings.input.partition("/")[0]
        found = {"stel": unit, "stel_coverage": "%", name: unit, f"{name}_projected": unit, "twa_coverage": "%"}
        if self._limits.stel is not None:
            found["stel_percent"] = "%"
        if self._limits.long_term is not None:
            found[f"{name}_percent"] = "%"
        if self._limits.ceiling is not None:
            found["ceiling_exceeded"] = "bool"
        return {
            f"{self._settings.input}/{output}": PointDeclaration(
                symbol,
                "digital" if symbol == "bool" else "analog",
                (0, 100) if output.endswith("_coverage") else None,
                asset,
                self._described(output),
            )
            for output, symbol in found.items()
        }

    def _described(self, output: str) -> dict[str, str]:
        """The limit stands in the words: what an operator reads beside 83 % is 83 % of how much."""
        limit = {
            "stel_percent": self._limits.stel,
            f"{self._settings.long_term}_percent": self._limits.long_term,
            "ceiling_exceeded": self._limits.ceiling,
        }.get(output)
        figure = "" if limit is None else f" ({limit:.4g} {self._settings.unit})"
        return {language: words + figure for language, words in _TEXTS[output].items()}

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        if not isinstance(item, Reading) or item.point != self._settings.input:
            return []
        # An electrochemical cell drifts below zero: that is clean air, and no credit against the dose.
        value = None if item.value is None or item.quality.level is Level.BAD else max(0.0, item.value)
        if not self._dose.add(item.time_ns, value):
            return []
        self._dose.begin_shift(self._shifts.began(item.time_ns))
        if self._doubt is not None and self._doubt[0] > item.time_ns:
            self._doubt = None  # the clock was set back
        if value is not None and item.quality.level is Level.UNCERTAIN:
            self._doubt = (item.time_ns, item.quality)
        above = self._limits.ceiling is not None and value is not None and value > self._limits.ceiling
        if (
            self._sent is not None
            and self._sent[1:] == (item.quality, above)
            and 0 <= item.time_ns - self._sent[0] < self._settings.every * _SECOND
        ):
            return []
        self._sent = (item.time_ns, item.quality, above)
        values = {**self._short_term(item.time_ns), **self._long_term(item.time_ns, value)}
        if self._limits.ceiling is not None:
            values["ceiling_exceeded"] = (None, item.quality) if value is None else (float(above), item.quality)
        return [Reading(f"{self._settings.input}/{output}", item.time_ns, *found) for output, found in values.items()]

    def _short_term(self, now: int) -> dict[str, tuple[float | None, Quality]]:
        average = self._dose.short_term()
        quality = self._quality(average, now - WINDOW)
        found: dict[str, tuple[float | None, Quality]] = {
            "stel": (average.mean, quality),
            "stel_coverage": (100 * average.coverage, GOOD),
        }
        if self._limits.stel is not None:
            found["stel_percent"] = (None if average.mean is None else 100 * average.mean / self._limits.stel, quality)
        return found

    def _long_term(self, now: int, value: float | None) -> dict[str, tuple[float | None, Quality]]:
        start = self._dose.shift_start or 0
        name, hours = self._settings.long_term, self._shifts.hours(start, self._settings.shift_hours)
        average, passed = self._dose.shift()
        limit = self._limits.long_term
        outputs = [name, f"{name}_projected", *([f"{name}_percent"] if limit is not None else [])]
        if passed > hours:  # between two shifts
            return {output: (None, bad("off_shift")) for output in (*outputs, "twa_coverage")}
        quality = self._quality(average, start)
        found: dict[str, tuple[float | None, Quality]] = dict.fromkeys(outputs, (None, quality))
        found["twa_coverage"] = (100 * average.coverage, GOOD)
        if average.mean is not None:
            so_far = average.mean * passed / 8 if name == "twa" else average.mean
            found[name] = (so_far, quality)
        if average.mean is None or value is None:
            # What comes is unknown while nothing is read: no projection is better than one of the past.
            return {**found, **{output: (None, bad("not_read") if value is None else quality) for output in outputs[1:]}}
        projected = (average.mean * passed + value * (hours - passed)) / (8 if name == "twa" else hours)
        found[f"{name}_projected"] = (projected, quality)
        if limit is not None:
            found[f"{name}_percent"] = (100 * projected / limit, quality)
        return found

    def _quality(self, average: Average, since: int) -> Quality:
        if average.mean is None:
            return bad("not_read")
        quality = uncertain("incomplete") if 100 * average.coverage < self._settings.least_coverage else GOOD
        return worst(quality, self._doubt[1]) if self._doubt is not None and self._doubt[0] > since else quality

    def state(self) -> str:
        """The dose so far, for a restart within the shift."""
        doubt = None if self._doubt is None else [self._doubt[0], str(self._doubt[1])]
        return json.dumps({"of": [self._settings.input, self._settings.unit], "dose": self._dose.state(), "doubt": doubt})

    def restore(self, text: str) -> None:
        """What `state` gave; of another input or unit, it is left alone. Raises where it is damaged."""
        state = json.loads(text)
        if state["of"] != [self._settings.input, self._settings.unit]:
            return
        doubt = None if state["doubt"] is None else (int(state["doubt"][0]), Quality.parse(state["doubt"][1]))
        self._dose.restore(state["dose"])
        self._doubt = doubt
