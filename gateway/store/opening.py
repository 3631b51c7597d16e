"""Opens the store that a configuration names: ours by the registry, others by the entry points `muki.stores`."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from pydantic import BaseModel

from gateway.store import REGISTRY, TimeSeriesStore


def store_class(name: str) -> type[Any]:
    """The class of a store; its ``Settings`` is a pydantic model. Raises ValueError naming the stores there are."""
    if name in REGISTRY:
        module, _, attribute = REGISTRY[name].partition(":")
        return cast(type[Any], getattr(import_module(module), attribute))
    foreign = {point.name: point for point in entry_points(group="muki.stores")}
    if name in foreign:
        return cast(type[Any], foreign[name].load())
    known = sorted({*REGISTRY, *foreign})
    close = get_close_matches(name, known, 1)
    raise ValueError(f"store {name!r}: {f'did you mean {close[0]!r}?' if close else 'write one of ' + ', '.join(known)}")


def open_store(name: str, settings: Mapping[str, object] | BaseModel) -> TimeSeriesStore:
    """The store ``name``, opened.

    Raises ValueError for a name or a setting that is wrong (pydantic's ValidationError is one), StoreUnavailable for one that cannot be opened.
    """
    chosen = store_class(name)
    model = settings if isinstance(settings, BaseModel) else chosen.Settings.model_validate(dict(settings))
    store: TimeSeriesStore = chosen(model)
    return store
