"""What hypothesis draws from: names, readings, events and messages that a node may send."""

from typing import Any

from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, SignalClass, State, Suppression, Transition
from contract.frames import event_to_wire, frames_of, to_ms
from contract.messages import Ack, Alarm, Birth, Command, Data, GatewayAlarm, Message, NodeState, PointDeclaration, Reject, Result, Standing
from contract.values import GOOD, POINT, Level, Quality, Reading

YEAR_2000_NS = 946_684_800_000_000_000
YEAR_2100_NS = 4_102_444_800_000_000_000
SEQ_MAX = (1 << 53) - 1

texts = st.text(st.characters(codec="utf-8"), max_size=20)
identifiers = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)
points = st.from_regex(POINT, fullmatch=True)
unique_ids = st.from_regex(r"[0-9A-Za-z-]{1,64}", fullmatch=True)
definition_ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,63}", fullmatch=True)
sequence_numbers = st.integers(1, SEQ_MAX)
numbers = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, 1e6)
times_ns = st.integers(YEAR_2000_NS, YEAR_2100_NS)
whole_ms_ns = times_ns.map(lambda ns: ns // 1_000_000 * 1_000_000)
milliseconds = whole_ms_ns.map(to_ms)
languages = st.dictionaries(st.sampled_from(["es", "en"]), texts)
reasons = st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True)
doubts = st.builds(Quality, st.sampled_from([Level.UNCERTAIN, Level.BAD]), reasons)
qualities = st.just(GOOD) | doubts


def readings(times: st.SearchStrategy[int] = whole_ms_ns) -> st.SearchStrategy[Reading]:
    """With a value and any quality, or without a value and a bad one."""
    return st.builds(Reading, points, times, numbers, qualities) | st.builds(
        Reading, points, times, st.none(), st.builds(Quality, st.just(Level.BAD), reasons)
    )


def batches(times: st.SearchStrategy[int] = whole_ms_ns) -> st.SearchStrategy[list[Reading]]:
    """At most one reading for each point and instant."""
    return st.lists(readings(times), max_size=12, unique_by=lambda reading: (reading.point, reading.time_ns))


def events(times: st.SearchStrategy[int] = whole_ms_ns) -> st.SearchStrategy[AlarmEvent]:
    return st.builds(
        AlarmEvent,
        id=unique_ids,
        definition=definition_ids,
        node=identifiers,
        point=points,
        time_ns=times,
        transition=st.sampled_from(Transition),
        value=st.none() | numbers,
        quality=qualities,
        evidence=st.lists(texts, max_size=3).map(tuple),
        first_up=st.booleans(),
    )


conditions = st.builds(Condition, st.sampled_from(ConditionKind), numbers) | st.builds(
    Condition,
    st.sampled_from([ConditionKind.RATE, ConditionKind.EXPRESSION]),
    numbers,
    window=st.none() | seconds,
    per=st.none() | st.sampled_from(["s", "min"]),
    expression=texts,
    points=st.dictionaries(identifiers, points, max_size=2),
    max_age=st.none() | seconds,
)
definitions = st.builds(
    AlarmDefinition,
    id=definition_ids,
    point=points,
    condition=conditions,
    priority=st.sampled_from(Priority),
    signal_class=st.sampled_from(SignalClass),
    deadband=seconds,
    on_delay=seconds,
    off_delay=seconds,
    title=languages,
    consequence=languages,
    action=languages,
    response_time=st.none() | seconds,
    shelvable=st.booleans(),
    latching=st.booleans(),
    shadow=st.booleans(),
    source=texts,
    group=texts,
    suppress_when=st.none() | st.builds(Suppression, points, conditions, seconds, seconds),
)
declarations = st.builds(
    PointDeclaration,
    unit=st.sampled_from(["ppm", "%vol", "mm/s", "1"]),
    kind=st.sampled_from(["analog", "digital", "counter", "score"]),
    range=st.none() | st.tuples(numbers, numbers),
    asset=texts,
    description=languages,
    period=st.none() | seconds,
)
births = st.builds(
    Birth,
    boot=unique_ids,
    software=texts,
    contract=st.just(1),
    points=st.dictionaries(points, declarations, max_size=4),
    sent=milliseconds,
    alarms=st.lists(definitions, max_size=3, unique_by=lambda definition: definition.id),
    standing=st.lists(st.builds(Standing, definition_ids, milliseconds, unique_ids), max_size=2),
)
states = st.builds(NodeState, st.booleans(), unique_ids, milliseconds, st.none() | st.booleans())
data = st.builds(Data, unique_ids, sequence_numbers, batches().map(frames_of), st.none() | milliseconds)
alarms = st.builds(Alarm, unique_ids, sequence_numbers, events().map(event_to_wire), st.none() | milliseconds)
ranges = st.tuples(sequence_numbers, sequence_numbers).map(lambda pair: (min(pair), max(pair)))
acks = st.builds(Ack, unique_ids, st.lists(ranges, max_size=5))
rejects = st.builds(
    Reject, texts, texts, texts, texts, milliseconds, boot=st.none() | texts, seq=st.none() | st.integers(-(1 << 63), (1 << 63) - 1)
)
commands = st.builds(
    Command, unique_ids, texts, seconds, milliseconds, st.dictionaries(texts, numbers | texts | st.booleans() | st.none(), max_size=4)
)
results = st.builds(Result, unique_ids, st.sampled_from(["accepted", "done", "rejected", "expired"]), texts)
gateway_alarms = st.builds(
    GatewayAlarm,
    key=texts,
    node=texts,
    definition=definition_ids,
    point=points,
    state=st.sampled_from(State),
    active=st.booleans(),
    priority=st.sampled_from(Priority),
    signal_class=st.sampled_from(SignalClass),
    since=milliseconds,
    value=st.none() | numbers,
    acknowledged_by=st.none() | texts,
)

BY_KIND: dict[str, st.SearchStrategy[Any]] = {
    "birth": births,
    "state": states,
    "data": data,
    "alarm": alarms,
    "ack": acks,
    "reject": rejects,
    "cmd": commands,
    "result": results,
    "gateway-alarm": gateway_alarms,
}
messages: st.SearchStrategy[Message] = st.one_of(*BY_KIND.values())
