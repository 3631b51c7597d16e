"""What somebody may do. Each role may do what those before it may."""

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    VIEWER = "viewer"  # sees
    OPERATOR = "operator"  # answers for alarms
    ENGINEER = "engineer"  # lets nodes in, changes what is watched
    ADMINISTRATOR = "administrator"  # people and tokens

    def may(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Person(NamedTuple):
    """Whoever asks. ``name`` is empty where the site asks nobody who they are. ``idle``: nothing was done for so long that only seeing is left."""

    name: str
    role: Role
    idle: bool = False


ANYBODY = Person("", Role.ADMINISTRATOR)
