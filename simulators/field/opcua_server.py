"""An OPC UA server (a PLC, a SCADA gateway) whose values, status codes and timestamps a test or a scenario sets.

It is built on the server side of asyncua, and the agent's source on the client side of the same library: a mistake that both sides of
the library share stays hidden here. What it does test is everything that is ours: subscriptions, mapping, time, loss and return.
"""

import asyncio
import copy
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import asyncua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

ua: Any = asyncua.ua  # untyped: the library annotates a plain int as Int32, and means an int

NAMESPACE = "urn:muki:simulator"  # index 2, after OPC UA's own and the server's
OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)


class _Users(UserManager):
    """Named users with passwords; nobody else gets in when there are any."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def get_user(self, iserver: Any, username: str | None = None, password: Any = None, certificate: Any = None) -> User | None:
        text = password.decode() if isinstance(password, bytes) else password
        if self._passwords and self._passwords.get(username or "") != text:
            return None
        return User(role=UserRole.User, name=username)


class _Internal(InternalServer):
    """Builds OPC UA's own 5,000 nodes once in a process: they take more than a second, and every server has the same."""

    _standard: ClassVar[dict[Any, Any]] = {}

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        if not self._standard:
            await super().load_standard_address_space(shelf_file)
            self._standard.update(self.aspace._nodes)
            self._standard[OBJECTS] = copy.deepcopy(self._standard[OBJECTS])
            return
        self.aspace._nodes = dict(self._standard)
        self.aspace._nodes[OBJECTS] = copy.deepcopy(self._standard[OBJECTS])  # the one that our own nodes hang on


class OpcUaServer:
    """Serves the variables that `add` makes. ``users``: passwords by name; anonymous clients are let in only without."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        users: Mapping[str, str] | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._users = users or {}
        self._certificate = certificate
        self._key = key
        self._server: Server | None = None
        self._nodes: dict[str, Node] = {}

    @property
    def url(self) -> str:
        return f"opc.tcp://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Raises OSError where the port is taken."""
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it warns of every server without certificates
        server = Server(_Internal(user_manager=_Users(self._users)))
        server.disable_clock()
        await server.init()
        server.set_endpoint(f"opc.tcp://{self.host}:{self.port}")
        policies = [ua.SecurityPolicyType.NoSecurity]
        if self._certificate is not None and self._key is not None:
            policies = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
            await server.load_certificate(str(self._certificate))
            await server.load_private_key(str(self._key))
        server.set_security_policy(policies)
        if self._users:
            server.set_identity_tokens([ua.UserNameIdentityToken])
        assert await server.register_namespace(NAMESPACE) == 2  # noqa: S101 - node ids in tests rely on it
        await server.start()
        assert server.bserver is not None and server.bserver._server is not None  # noqa: S101, PT018 - it has started
        listening: Any = server.bserver._server
        self.port = int(listening.sockets[0].getsockname()[1])
        self._server = server
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self.drop_connections()
            await self._server.stop()
            if self._server.bserver is not None:
                await self._server.bserver._close_tasks()  # of connections that were lost in the last moment
            self._server = None
            self._nodes.clear()

    async def add(self, path: str, value: Any) -> str:
        """A variable under Objects, its folders included, ``Crusher/Motor/Current``; returns its node id, ``ns=2;s=Crusher.Motor.Current``."""
        server = self._running()
        parent = server.nodes.objects
        *folders, name = path.split("/")
        for depth, folder in enumerate(folders):
            identifier = ".".join(folders[: depth + 1])
            if identifier not in self._nodes:
                self._nodes[identifier] = await parent.add_object(ua.NodeId(identifier, 2), ua.QualifiedName(folder, 2))
            parent = self._nodes[identifier]
        identifier = path.replace("/", ".")
        self._nodes[identifier] = await parent.add_variable(ua.NodeId(identifier, 2), ua.QualifiedName(name, 2), value)
        return f"ns=2;s={identifier}"

    async def write(self, node: str, value: Any, *, status: str = "Good", flags: int = 0, source_time: datetime | None = None) -> None:
        """Sets a variable: ``status`` by its name in the standard, ``flags`` for the low 16 bits; the source timestamp is now if not said."""
        code = ua.StatusCode(getattr(ua.StatusCodes, status) | flags)
        moment = datetime.now(UTC)
        data = ua.DataValue(
            value if isinstance(value, ua.Variant) else ua.Variant(value),
            code,
            SourceTimestamp=source_time or moment,
            ServerTimestamp=moment,
        )
        await self._running().write_attribute_value(ua.NodeId.from_string(node), data)

    async def remove(self, node: str) -> None:
        """The variable is gone, as after a new program was loaded: its monitored items report BadNodeIdUnknown (Part 4, 5.13.1.2), and no more.

        Done by hand: the library's own deletion forgets to await what tells them.
        """
        await self.write(node, None, status="BadNodeIdUnknown")
        identifier = node.partition(";s=")[2]
        space = self._running().iserver.aspace
        for handle in list(space[ua.NodeId(identifier, 2)].attributes[ua.AttributeIds.Value].datachange_callbacks):
            space.delete_datachange_callback(handle)
        await self._running().delete_nodes([self._nodes.pop(identifier)])

    async def drop_connections(self) -> None:
        """Cuts every connection and forgets its session; the port keeps listening. For tests: a cable pulled, a device restarted."""
        internal = self._running().iserver
        for transport in list(internal.asyncio_transports):
            transport.abort()
        for session in list(internal._external_sessions.values()):
            await session.close_session(True)
        await asyncio.sleep(0)

    async def forget_subscriptions(self) -> None:
        """Every subscription is gone and nobody is told; sessions and connections stay: a server that ran out of memory, or a careless one."""
        subscriptions = self._running().iserver.subscription_service.subscriptions
        for number in list(subscriptions):
            await subscriptions.pop(number).stop()

    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the server is not running: use it inside `async with`")
        return self._server
