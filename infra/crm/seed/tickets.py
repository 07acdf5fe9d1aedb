"""Tickets and cases: who, about which product, the conversation, and copies that two platforms keep."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from infra.crm.ids import salesforce_id
from infra.crm.seed.problems import Problem, Texts, load_texts
from infra.crm.seed.records import Comment, Listing, Order, PlatformName, Priority, Status, Ticket
from infra.crm.seed.spelling import HUBSPOT_FIRST, ZENDESK_FIRST

COUNTS: dict[PlatformName, int] = {"zendesk": 1650, "salesforce": 1050, "hubspot": 500}
MIRRORED = 120
INJECTED_SHARE = 0.012
STATUSES: tuple[Status, ...] = ("open", "pending", "solved", "closed")
PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high", "urgent")
GOODBYES = ("Regards", "Best regards", "Thanks", "Kind regards", "Many thanks")


def ticket_id(platform: PlatformName, number: int) -> str:
    """Id of the n-th ticket of a platform."""
    if platform == "salesforce":
        return salesforce_id("500", number + 1)
    return str((HUBSPOT_FIRST if platform == "hubspot" else ZENDESK_FIRST)["tickets"] + number)


def make_tickets(
    random_: random.Random, listings: Sequence[Listing], orders: Sequence[Order], today: datetime
) -> tuple[Ticket, ...]:
    """All tickets, each platform's oldest first. Those about an order name one of the company."""
    writer = _Writer(random_, load_texts(), today)
    numbers: dict[str, list[str]] = defaultdict(list)
    for order in orders:
        numbers[order.company].append(order.number)
    tickets: list[Ticket] = []
    for platform, count in COUNTS.items():
        authors = [listing for listing in listings if listing.platform == platform]
        ages = sorted((int(random_.triangular(0, 60_000_000, 2_500_000)) for _ in range(count)), reverse=True)
        for number, age in enumerate(ages):
            author = random_.choice(authors)
            named = random_.choice(numbers[author.company.key] or ["SO-2600180"])
            tickets.append(writer.ticket(ticket_id(platform, number), author, named, today - timedelta(seconds=age)))
    return tuple(_mirrored(random_, tickets))


@dataclass(frozen=True)
class _Writer:
    random_: random.Random
    texts: Texts
    today: datetime

    def ticket(self, record_id: str, author: Listing, order: str, at: datetime) -> Ticket:
        choice = self.random_.choice
        problem = self.random_.choices(self.texts.problems, [problem.weight for problem in self.texts.problems])[0]
        sku = choice(problem.skus)
        slots = self._slots(sku, author, order, at)
        injected = self.random_.random() < INJECTED_SHARE
        status = self._status((self.today - at).days)
        comments = tuple(self._comments(problem, slots, at, status))
        return Ticket(
            key=f"{author.platform}:{record_id}",
            platform=author.platform,
            record_id=record_id,
            listing=author,
            sku=sku,
            serial=slots["serial"],
            problem=problem.key,
            subject=choice(problem.subjects).format(**slots),
            text=self._text(problem, slots, author, injected),
            status=status,
            priority=self._priority(problem),
            created=at,
            updated=comments[-1].at if comments else at,
            comments=comments,
            agent=choice(self.texts.agents),
            injection=injected,
        )

    def _slots(self, sku: str, author: Listing, order: str, at: datetime) -> dict[str, str]:
        number, choice = self.random_.randrange, self.random_.choice
        week = f"{number(21, 25)}{number(1, 53):02d}"
        family = sku.split("-")[0] if sku[:3] in ("TL1", "TL2", "HL1", "VX3") else "TL2"
        day = at - timedelta(days=number(0, 4))
        return {
            "serial": f"{family}-{week}-{number(1, 4000):04d}",
            "gateway": f"GW20-{week}-{number(1, 900):03d}",
            "place": choice(self.texts.places),
            "site": author.address.city,
            "temp": str(-choice((2, 4, 8, 18, 20, 25, 28))),
            "n": str(choice((2, 3, 4, 6, 9, 12, 18, 25, 40, 70))),
            "day": f"{day.day} {day:%B}",
            "months": str(number(3, 40)),
            "order": order,
        }

    def _text(self, problem: Problem, slots: dict[str, str], author: Listing, injected: bool) -> str:
        choice = self.random_.choice
        parts = [choice(problem.reports), choice(problem.details), choice(self.texts.asks)]
        if injected:
            parts.insert(self.random_.randrange(1, 3), choice(self.texts.injections))
        signature = f"{choice(GOODBYES)}\n{author.first} {author.last}"
        if author.title and self.random_.random() < 0.3:
            signature += f"\n{author.title}, {author.company_name}"
        lines = (choice(self.texts.greetings), " ".join(parts).format(**slots), signature)
        return "\n\n".join(filter(None, lines))

    def _status(self, age_days: int) -> Status:
        if age_days < 2:
            return "new" if self.random_.random() < 0.5 else "open"
        weights = (5, 3, 5, 0) if age_days < 21 else (1, 1, 10, 2) if age_days < 60 else (1, 1, 10, 38)
        return self.random_.choices(STATUSES, weights)[0]

    def _priority(self, problem: Problem) -> Priority:
        urgent = problem.key in ("alarm_late", "gateway_offline")
        return self.random_.choices(PRIORITIES, (1, 4, 5, 4) if urgent else (4, 12, 3, 0))[0]

    def _comments(self, problem: Problem, slots: dict[str, str], at: datetime, status: Status) -> list[Comment]:
        if status == "new":
            return []
        choice, made = self.random_.choice, []
        agent = choice(self.texts.agents)
        steps = [(choice(problem.answers), agent, True)]
        if self.random_.random() < 0.3:
            steps.insert(0, (choice(self.texts.internal_notes), agent, False))
        if status in ("solved", "closed"):
            steps.append((choice(problem.closings), "", True))
        for text, author, public in steps:
            at = min(at + timedelta(minutes=self.random_.randrange(12, 2000)), self.today)
            made.append(Comment(at, text.format(**slots), author, public))
        return made


def _mirrored(random_: random.Random, tickets: list[Ticket]) -> list[Ticket]:
    """Some tickets of Zendesk stand in Salesforce, too, as the integration between the two writes them."""
    cases = {ticket.listing.person: at for at, ticket in enumerate(tickets) if ticket.platform == "salesforce"}
    ours = [at for at, ticket in enumerate(tickets) if ticket.platform == "zendesk" and ticket.listing.person in cases]
    used: set[int] = set()
    for at in random_.sample(ours, len(ours)):
        source = tickets[at]
        copy = cases[source.listing.person]
        if copy in used or len(used) >= MIRRORED:
            continue
        used.add(copy)
        target = tickets[copy]
        kept = {name: getattr(target, name) for name in ("key", "platform", "record_id", "listing", "agent")}
        tickets[at] = replace(source, mirror=target.record_id)
        tickets[copy] = replace(source, **kept, mirror=source.record_id)
    return tickets
