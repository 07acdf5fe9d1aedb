"""What is known of one request in the order of time: steps from memory, and records of the audit log."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import RowMapping

from common.console.audit_entries import intents_of_outcomes
from common.console.audit_entry import tone_of
from common.observability.traces import Trace

WIDTH = 280
LEAST_WIDTH = 2.0
GAP_SECONDS = 1.0
"""What comes later than this after everything before it is drawn on a time axis of its own."""
SLACK_SECONDS = 0.005
"""Clocks of two processes."""
MAX_DEPTH = 6


@dataclass(frozen=True)
class Line:
    """One row. `at` in seconds since 1970; `seconds` None: nobody knows when it ended."""

    layer: str
    name: str
    at: float
    seconds: float | None
    outcome: str
    depth: int = 0
    source: str = ""
    """Whose audit log, and where in it; empty for what comes from memory."""

    @property
    def end(self) -> float:
        return self.at + (self.seconds or 0.0)

    @property
    def is_record(self) -> bool:
        return self.layer == "record"

    @property
    def tone(self) -> str:
        """How the outcome is to be shown."""
        return tone_of(self.outcome)


@dataclass(frozen=True)
class Part:
    """Lines that share a time axis."""

    lines: Sequence[Line]

    @property
    def at(self) -> float:
        return self.lines[0].at

    @property
    def seconds(self) -> float:
        return max(line.end for line in self.lines) - self.at

    def x(self, line: Line) -> float:
        """Distance of its begin from the left edge."""
        return round(min(WIDTH * (line.at - self.at) / (self.seconds or 1.0), WIDTH - LEAST_WIDTH), 1)

    def width(self, line: Line) -> float:
        """What has no known end reaches to the right edge."""
        if line.seconds is None:
            return round(WIDTH - self.x(line), 1)
        return round(max(WIDTH * line.seconds / (self.seconds or 1.0), LEAST_WIDTH), 1)

    def starts(self, line: Line) -> float:
        """Milliseconds after the begin of the part."""
        return (line.at - self.at) * 1000


@dataclass(frozen=True)
class Waterfall:
    """All of it, and of which processes there are only records."""

    parts: Sequence[Part]
    only_recorded: Sequence[str]

    @property
    def layers(self) -> set[str]:
        return {line.layer for part in self.parts for line in part.lines}


def waterfall(records: Sequence[RowMapping], traces: Sequence[Trace]) -> Waterfall:
    """Bars with steps where there is a trace, without where only the audit log knows of a call, and each record."""
    alone = [_of_records(first, last) for first, last in _calls(records) if not _is_traced(first, traces)]
    blocks = [*map(_of_trace, traces), *([line] for line in alone), *([_mark(record)] for record in records)]
    nested = list(_nested(blocks))
    return Waterfall(list(_parts(nested)), sorted({line.source for line in alone if line.layer == "server"}))


def _is_traced(record: RowMapping, traces: Sequence[Trace]) -> bool:
    at = _moment(record)
    return any(trace.writer == record["writer"] and _covers(_of_trace(trace)[0], at) for trace in traces)


def _of_trace(trace: Trace) -> list[Line]:
    root = Line(trace.layer, trace.name, trace.at, trace.seconds, trace.outcome)
    steps = (
        Line(step.layer, step.name, trace.at + step.started, step.seconds, step.outcome, step.depth + 1)
        for step in trace.steps
    )
    return [root, *steps]


def _calls(records: Sequence[RowMapping]) -> Iterator[tuple[RowMapping, RowMapping | None]]:
    """What took time: intents with their outcomes, and events that say how long they took."""
    outcomes = {id(intent): outcome for outcome, intent in intents_of_outcomes(records).values()}
    for record in records:
        if record["kind"] == "intent":
            yield record, outcomes.get(id(record))
        elif record["kind"] == "event" and _milliseconds(record) is not None:
            yield record, record


def _of_records(first: RowMapping, last: RowMapping | None) -> Line:
    """A bar without steps, since only the audit log knows of it."""
    layer = "gateway" if str(first["writer"]).startswith("gateway-") else "server"
    source, begin = str(first["writer"]), _moment(first)
    if last is None:
        return Line(layer, str(first["action"]), begin, None, "unfinished", source=source)
    spent = _milliseconds(last)
    if first is last and spent is not None:
        begin -= spent / 1000
    return Line(layer, str(first["action"]), begin, _moment(last) - begin, str(last["outcome"] or "ok"), source=source)


def _mark(record: RowMapping) -> Line:
    outcome = "" if record["kind"] == "intent" else str(record["outcome"] or "ok")
    source = f"{record['writer']} #{record['seq']}"
    return Line("record", f"{record['kind']}: {record['action']}", _moment(record), 0.0, outcome, source=source)


def _moment(record: RowMapping) -> float:
    # A damaged time is no reason to show nothing.
    try:
        return datetime.fromisoformat(record["at"]).timestamp()
    except (TypeError, ValueError):
        return 0.0


def _milliseconds(record: RowMapping) -> float | None:
    try:
        spent = json.loads(record["body"]).get("ms")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return float(spent) if isinstance(spent, int | float) else None


def _covers(line: Line, at: float) -> bool:
    return line.at - SLACK_SECONDS <= at <= line.end + SLACK_SECONDS


def _nested(blocks: Iterable[Sequence[Line]]) -> Iterator[Line]:
    """Each block one deeper than the smallest call that surrounds it."""
    around: list[tuple[Line, int]] = []
    for block in sorted(blocks, key=lambda each: (each[0].at, -each[0].end)):
        root = block[0]
        depth = max(
            (above + 1 for line, above in around if _covers(line, root.at) and _covers(line, root.end)), default=0
        )
        if not root.is_record:
            around.append((root, depth))
        for line in block:
            yield replace(line, depth=min(line.depth + depth, MAX_DEPTH))


def _parts(lines: Iterable[Line]) -> Iterator[Part]:
    found: list[Line] = []
    for line in sorted(lines, key=lambda each: (each.at, each.depth)):
        if found and line.at > max(each.end for each in found) + GAP_SECONDS:
            yield Part(found)
            found = []
        found.append(line)
    if found:
        yield Part(found)
