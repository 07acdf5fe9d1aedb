"""How a fork's names follow from the suite's: in code, in settings, in commands, in prose."""

import keyword
import re
import sys
from dataclasses import dataclass
from functools import cached_property

from common.errors import InvalidInput

SUITE = "triptych"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TAKEN = {"common", "infra", "tests", "docs", "test", SUITE}
Rule = tuple[re.Pattern[str], str]


@dataclass(frozen=True)
class Names:
    """`package` is the vertical's in the suite, `server` its name in commands, `name` the fork's package."""

    package: str
    server: str
    name: str

    @property
    def kebab(self) -> str:
        """The fork's command, distribution and server: acme-docs."""
        return self.name.replace("_", "-")

    @property
    def camel(self) -> str:
        """In prose: AcmeDocs."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    def path(self, path: str) -> str:
        """Where a file of the suite is in the fork."""
        parts = path.split("/")
        if parts[0] == "common":
            return "/".join([self.name, *parts])
        code = path.endswith(".py") or parts[0] in (self.package, "tests")
        return "/".join(self._part(part, code) for part in parts)

    def _part(self, part: str, code: bool) -> str:
        stem, dot, ending = part.partition(".")
        if code and stem == self.package:
            return f"{self.name}{dot}{ending}"
        own = stem == self.server or stem.startswith(f"{self.server}-")
        part = part.replace(self.server, self.kebab, 1) if own and not code else part
        return part.replace(SUITE, self.kebab)

    def text(self, path: str, text: str) -> str:
        """A file of the suite as the fork has it."""
        for pattern, replacement in self._code if path.endswith(".py") else self._prose:
            text = pattern.sub(replacement, text)
        return text

    @cached_property
    def _code(self) -> list[Rule]:
        return self._rules(code=True)

    @cached_property
    def _prose(self) -> list[Rule]:
        return self._rules(code=False)

    def _rules(self, code: bool) -> list[Rule]:
        rules = [
            # What joins both names first: an image, a bundle.
            (rf"\b{SUITE}-{self.server}\b", self.kebab),
            *self._modules(),
            *self._server(code),
            (SUITE.upper(), self.name.upper()),
            (SUITE.capitalize(), self.camel),
            (rf"{SUITE}(?=_|\()" if code else rf"{SUITE}(?=_)", self.name),
            (SUITE, self.kebab),
        ]
        return [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def _modules(self) -> list[tuple[str, str]]:
        """Only where modules and folders are meant: variables and words are called so, too."""
        rules = []
        for old, new in (("common", f"{self.name}.common"), (self.package, self.name)):
            folder = new.replace(".", "/")
            rules += [
                (rf"(?m)^(\s*(?:from|import) ){old}\b", rf"\g<1>{new}"),
                (rf"(?<=[\"'`]){old}\.(?=[a-z_]+[\".:'`\w])", f"{new}."),
                (rf"(?<=import ){old}\.(?=[a-z])", f"{new}."),
                (rf"(?<=[\"'`( ]){old}/", f"{folder}/"),
            ]
        return [
            *rules,
            (rf"\btests/{self.package}\b", f"tests/{self.name}"),
            (rf"\btests\.{self.package}\b", f"tests.{self.name}"),
        ]

    def _server(self, code: bool) -> list[tuple[str, str]]:
        if self.server != self.package:
            return [(rf"\b{self.server}\b", self.kebab)]
        # A name that is a word of code as well: only where it stands alone, and where folders are named by servers.
        folders = (
            rf"(?<=base/){self.server}\b|(?<=components/){self.server}\b|\b{self.server}(?=\.(?:md|lock)\b)",
            self.kebab,
        )
        spoken = (rf"(?<=serve ){self.server}\b|(?<=worker ){self.server}\b|\b{self.server}(?= worker)", self.kebab)
        alone = rf"(?<=[\"'/]){self.server}(?=[\"'])" if code else rf"(?<![.\w/]){self.server}\b(?![./_(][a-z]|://)"
        return [folders, spoken, (alone, self.kebab)]


def checked(name: str) -> str:
    """The name of a fork, if Python, shells and Kubernetes can live with it. Raises InvalidInput."""
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise InvalidInput(f"{name!r} cannot be a package.", "Give --name in lower case, such as acme_docs.")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name in _TAKEN:
        raise InvalidInput(f"{name!r} is taken by Python or by the layout.", "Take another name, such as acme_docs.")
    return name
