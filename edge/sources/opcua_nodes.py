"""The nodes of an OPC UA server that are points of ours: found by id or path, subscribed to, and looked for again where they are missing."""

import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from contract.values import Reading, bad
from edge.clock import whole_ms
from edge.sources.opcua_settings import OpcUaSettings
from edge.sources.opcua_status import quality_of

if TYPE_CHECKING:
    from asyncua.client.client import Client
    from asyncua.common.subscription import Subscription

log = logging.getLogger("muki.edge.sources.opcua")

NODE_UNKNOWN = bad("node_id_unknown")
_CALL = 100  # nodes in one request: servers have limits, the smallest known ones at some hundreds


class Nodes:
    """Which nodes are monitored under which handle, and which the server does not have."""

    def __init__(self, client: "Client", settings: OpcUaSettings) -> None:
        self._client = client
        self._settings = settings
        self._handle = 0
        self._told: set[str] = set()
        self._items: dict[str, tuple[int, int]] = {}  # the handles of each point: ours and the server's
        self.missing = list(settings.points)
        self.by_handle: dict[int, str] = {}

    async def monitor(self, subscription: "Subscription") -> list[Reading]:
        """Subscribes to what is missing so far; a reading for each that still is."""
        ua = library()
        found, refused = await self._resolve(self.missing)
        names = list(found)
        for start in range(0, len(names), _CALL):
            part = {name: found[name] for name in names[start : start + _CALL]}
            refused |= await self._create(subscription, part, filtered=True)
        self.missing = [name for name in self.missing if name in refused]
        new = [name for name in self.missing if name not in self._told]
        if new:
            log.warning("%s: the server does not give %s", self._settings.name, ", ".join(f"{name} ({refused[name].name})" for name in new))
        self._told = set(self.missing)
        now = whole_ms(time.time_ns())
        codes = {name: refused[name] if refused[name].is_bad() else ua.StatusCode(ua.StatusCodes.Bad) for name in self.missing}
        return [Reading(name, now, None, quality_of(code.value, code.name)) for name, code in codes.items()]

    async def forget(self, subscription: "Subscription", names: Iterable[str]) -> None:
        """These nodes are gone: when they come back, many servers do not report them under the old item."""
        from asyncua.ua.uaerrors import UaError

        for name in names:
            ours, theirs = self._items.pop(name, (0, 0))
            if self.by_handle.pop(ours, None) is None:
                continue
            with contextlib.suppress(UaError):
                await subscription.unsubscribe(theirs)
            self._told.add(name)
            self.missing.append(name)

    async def _create(self, subscription: "Subscription", nodes: dict[str, Any], *, filtered: bool) -> dict[str, Any]:
        """Those refused. A server that knows no filter is asked without: then a value that stays the same is not reported again."""
        ua = library()
        settings = self._settings
        every = settings.publish_every if settings.sample_every is None else settings.sample_every
        requests = []
        for name, node in nodes.items():
            self._handle += 1
            self.by_handle[self._handle] = name
            wanted = ua.MonitoringParameters(ClientHandle=self._handle, SamplingInterval=every * 1000, QueueSize=settings.queue)
            if filtered:
                wanted.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
            item = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
            requests.append(ua.MonitoredItemCreateRequest(item, ua.MonitoringMode.Reporting, wanted))
        results: list[Any] = await subscription.create_monitored_items(requests)
        refused: dict[str, Any] = {}
        for name, request, result in zip(nodes, requests, results, strict=True):
            handle = request.RequestedParameters.ClientHandle
            if isinstance(result, ua.StatusCode):
                refused[name] = result
                del self.by_handle[handle]
            else:
                self._items[name] = handle, result
        unfiltered = {name: nodes[name] for name, code in refused.items() if "Filter" in code.name}
        if filtered and unfiltered:
            refused = {name: code for name, code in refused.items() if name not in unfiltered}
            refused |= await self._create(subscription, unfiltered, filtered=False)
        return refused

    async def _resolve(self, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The node ids of the points, and of those that have none why."""
        ua = library()
        points = self._settings.points
        found: dict[str, Any] = {}
        refused: dict[str, Any] = {}
        uris: list[str] | None = None
        walked = []
        for name in names:
            written = points[name].node
            if written is None:
                walked.append(name)
            elif written.startswith("nsu="):
                uris = uris if uris is not None else await self._client.get_namespace_array()
                uri, _, rest = written.removeprefix("nsu=").partition(";")
                if uri in uris:
                    found[name] = ua.NodeId.from_string(f"ns={uris.index(uri)};{rest}")
                else:
                    refused[name] = ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)
            else:
                found[name] = ua.NodeId.from_string(written)
        for start in range(0, len(walked), _CALL):
            part = walked[start : start + _CALL]
            paths = [_browse_path(points[name].path or ()) for name in part]
            for name, result in zip(part, await self._client.uaclient.session.translate_browsepaths_to_nodeids(paths), strict=True):
                if result.StatusCode.is_good() and result.Targets:
                    target = result.Targets[0].TargetId
                    found[name] = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
                else:
                    refused[name] = ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)
        return found, refused


def library() -> Any:
    """The names of the standard, untyped: the library annotates a plain int as Int32, and means an int."""
    from asyncua import ua

    return ua


def _browse_path(steps: Sequence[str]) -> Any:
    ua = library()
    elements = [
        ua.RelativePathElement(
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
            IsInverse=False,
            IncludeSubtypes=True,
            TargetName=ua.QualifiedName.from_string(step),
        )
        for step in steps
    ]
    return ua.BrowsePath(ua.NodeId(ua.ObjectIds.ObjectsFolder), ua.RelativePath(elements))
