"""A plan as a configuration or a person gives it."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_MARKERS = 300
LARGEST = 4 << 20  # bytes of a picture
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_REFS = {"asset": re.compile(r"[a-z0-9-]{1,32}/[a-z0-9][a-z0-9-]{0,63}"), "place": re.compile(r"[a-z0-9][a-z0-9-]{0,31}")}
_UNSAFE_SVG = re.compile(
    rb"<!DOCTYPE|<!ENTITY|<script|<foreignObject|\son[a-z]+\s*=|javascript:|(?:href|src)\s*=\s*[\"'](?!#|data:image/)", re.IGNORECASE
)


class Marker(BaseModel):
    """``x`` and ``y`` from the upper left corner and ``radius``, as shares of the picture's width and height (radius: of its width).

    ``ref`` is NODE/ASSET for an asset, the id of a place of `gas`, and empty for a zone (people, machines), which has a title and a radius.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["asset", "place", "zone"]
    ref: str = Field("", max_length=100)
    title: str = Field("", max_length=100)
    x: Share
    y: Share
    radius: Share = 0.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "zone":
            if not self.title or not self.radius:
                raise ValueError("a zone has a title and a radius above 0")
        elif not _REFS[self.kind].fullmatch(self.ref):
            raise ValueError(f"ref {self.ref!r}: write {'NODE/ASSET' if self.kind == 'asset' else 'the id of a place'}")
        return self


class PlanConfig(BaseModel):
    """The plan until somebody draws another on the page."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    picture: Path | None = None
    markers: list[Marker] = Field([], max_length=MOST_MARKERS)


def media_type(data: bytes) -> str:
    """Of a picture that may be shown. Raises ValueError that says why one may not."""
    if len(data) > LARGEST:
        raise ValueError(f"{len(data)} bytes: a plan has at most {LARGEST}")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    head = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in data[:10_000]:
        if found := _UNSAFE_SVG.search(data):
            raise ValueError(
                f"the SVG holds {found.group().decode('ascii', 'replace').strip()!r}: scripts, entities and links to other files are not taken"
            )
        return "image/svg+xml"
    raise ValueError("neither PNG, JPEG nor SVG")
