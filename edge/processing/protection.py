"""Which person wears a helmet or a vest, and which is seen without: boxes of equipment matched with the head or torso of a person. Pure."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Equipment(NamedTuple):
    """Classes of the model that show it worn and missing, and where its middle lies: [top, bottom] as shares of the height of the person."""

    worn: str
    missing: str
    region: tuple[float, float]


# Regions: our own choice. A head is an eighth of a standing person, more of one who stoops; a torso is the second and third quarter.
EQUIPMENT = {
    "helmet": Equipment("hardhat", "no_hardhat", (-0.08, 0.35)),
    "vest": Equipment("vest", "no_vest", (0.1, 0.8)),
}
ASIDE = 0.15  # of the width of the person: how far the middle may lie beside the box


def owners(people: Array, things: Array, region: tuple[float, float]) -> Array:
    """For each of things (m, 4) the index of the person (n, 4) it is on, -1 for none: (m,) of int.

    Where several persons could have it, the one whose region's middle is nearest, in shares of the person's own size.
    """
    if not len(people) or not len(things):
        return np.full(len(things), -1)
    left, top, right, bottom = people.T[:, None, :]  # (1, n) each
    x, y = ((things[:, :2] + things[:, 2:]) / 2).T[:, :, None]  # (m, 1) each
    across, down = (x - left) / (right - left), (y - top) / (bottom - top)
    fits = (across >= -ASIDE) & (across <= 1 + ASIDE) & (down >= region[0]) & (down <= region[1])
    distance = np.where(fits, np.hypot(across - 0.5, down - sum(region) / 2), np.inf)
    result: Array = np.where(fits.any(axis=1), distance.argmin(axis=1), -1)
    return result


def votes(people: Array, worn: Array, missing: Array, region: tuple[float, float]) -> list[bool | None]:
    """Of each person (n, 4) whether the equipment is missing; None where the picture shows neither, or both: that says nothing."""
    has = set(owners(people, worn, region).tolist())
    lacks = set(owners(people, missing, region).tolist())
    return [None if (person in has) == (person in lacks) else person in lacks for person in range(len(people))]
