"""What stops changes whoever asks: the switch, freezes and windows. And which environment a namespace belongs to."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from common.errors import Denied
from devops.changes.change import HandFreeze, Switch, Target

PRODUCTION = "production"
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR = r"^([01]\d|2[0-3]):[0-5]\d$"


class Freeze(BaseModel):
    """A time in which nothing is changed in an environment (`*`: in all)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    environment: str = "*"
    start: AwareDatetime
    end: AwareDatetime
    reason: str = ""


class Window(BaseModel):
    """The only hours, in UTC, in which an environment is changed; several add up.

    One that ends before it starts goes on into the day after each of its days.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    days: tuple[Day, ...] = DAYS
    start: Annotated[str, Field(pattern=HOUR)] = "00:00"
    end: Annotated[str, Field(pattern=HOUR)] = "23:59"


class Gates:
    """Decides by environment and time."""

    def __init__(
        self,
        environments: Mapping[str, str],
        freezes: Sequence[Freeze] = (),
        windows: Mapping[str, Sequence[Window]] | None = None,
        closed: bool = False,
    ) -> None:
        self._environments = environments
        self._freezes = freezes
        self._windows = windows or {}
        self._closed = closed

    def environment(self, at: Target) -> str:
        """By the first pattern that fits `namespace` or `cluster/namespace`; what fits none is production.

        Of a cloud account only those with its name count: `account/region`, `account/ecs-cluster`.
        """
        if at.namespace is not None:
            for pattern, environment in self._environments.items():
                if at.api.in_cloud and "/" not in pattern:
                    continue
                name = f"{at.cluster}/{at.namespace}" if "/" in pattern else at.namespace
                if fnmatchcase(name, pattern):
                    return environment
        return PRODUCTION

    @property
    def environments(self) -> list[str]:
        """All that there are."""
        return sorted({PRODUCTION, *self._environments.values(), *self._windows})

    def frozen(self, now: float, switch: Switch) -> list[Freeze]:
        """The freezes that hold now: of the settings, and of the console."""
        moment = datetime.fromtimestamp(now, UTC)
        return [
            freeze
            for freeze in (*self._freezes, *map(_as_freeze, switch.freezes))
            if freeze.start <= moment < freeze.end
        ]

    def check(self, environment: str, now: float, switch: Switch) -> None:
        """Raises Denied while nothing may be changed there."""
        self.check_switch(switch)
        if (closed := self.closed(environment, now, switch)) is not None:
            raise closed

    def check_switch(self, switch: Switch) -> None:
        """Raises Denied while all changes are switched off; nothing gets around that."""
        if self._closed or switch.off:
            why = f" by {switch.by}: {switch.reason}" if switch.off else " by DEVOPS_CHANGES_OFF"
            raise Denied(f"All changes are switched off{why}.", "Reading goes on. An administrator switches them on.")

    def closed(self, environment: str, now: float, switch: Switch) -> Denied | None:
        """Why time alone forbids changes there now: a freeze, or none of its windows."""
        moment = datetime.fromtimestamp(now, UTC)
        for freeze in self.frozen(now, switch):
            if freeze.environment in ("*", environment):
                until = freeze.end.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
                return Denied(f"{environment} is frozen until {until}. {freeze.reason}".strip(), "Ask again after it.")
        windows = self._windows.get(environment)
        if windows and not any(_is_open(window, moment) for window in windows):
            hours = "; ".join(f"{', '.join(each.days)} {each.start}-{each.end}" for each in windows)
            return Denied(f"{environment} is changed only at these times (UTC): {hours}.", "Ask again then.")
        return None


def _as_freeze(freeze: HandFreeze) -> Freeze:
    # It holds from when it is there, whatever the clock of the process was that set it.
    start, end = (datetime.fromtimestamp(moment, UTC) for moment in (0.0, freeze.end))
    return Freeze(environment=freeze.environment, start=start, end=end, reason=f"{freeze.by}: {freeze.reason}")


def _is_open(window: Window, moment: datetime) -> bool:
    time = moment.strftime("%H:%M")
    today, yesterday = (DAYS[moment.weekday() - back] in window.days for back in (0, 1))
    if window.start <= window.end:
        return today and window.start <= time <= window.end
    return (today and time >= window.start) or (yesterday and time <= window.end)
