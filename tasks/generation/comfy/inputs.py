"""The inputs that a workflow takes by name: `StringInput_fal` and its siblings, with their limits. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from tasks.generation.comfy.checks import Nodes, Problem, is_link
from tasks.generation.comfy.nodes import VALUES


@dataclass(frozen=True)
class NamedInput:
    """An input node: its id, its kind, its name, and its settings."""

    node: str
    kind: str
    name: str
    settings: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The input that holds the value."""
        return VALUES[self.kind]

    def problem(self, value: Any) -> str | None:
        """Why it cannot have this value, and what is allowed; None if it can."""
        match self.kind:
            case "StringInput_fal":
                return None if isinstance(value, str) else f"is {_shown(value)}; allowed: a text"
            case "BooleanInput_fal":
                return None if isinstance(value, bool) else f"is {_shown(value)}; allowed: true or false"
            case "IntegerInput_fal" if isinstance(value, bool) or not isinstance(value, int):
                return f"is {_shown(value)}; allowed: a whole number{self._range()}"
            case "FloatInput_fal" if isinstance(value, bool) or not isinstance(value, int | float):
                return f"is {_shown(value)}; allowed: a number{self._range()}"
        number, low, high, step = (_decimal(each) for each in (value, *self._limits()))
        if number is None:
            return f"is {_shown(value)}; allowed: a number{self._range()}"
        if (low is not None and number < low) or (high is not None and number > high):
            return f"is {_shown(value)}; allowed: {self._range().strip()}"
        if step and (Fraction(number) - Fraction(low or 0)) % Fraction(step) != 0:
            return f"is {_shown(value)}; allowed: {self._range().strip()}"
        return None

    def _limits(self) -> tuple[Any, Any, Any]:
        return self.settings.get("min"), self.settings.get("max"), self.settings.get("step")

    def _range(self) -> str:
        low, high, step = self._limits()
        named = {"from": low, "to": high, "in steps of": step}
        words = [f"{name} {value}" for name, value in named.items() if value is not None]
        return f" {' '.join(words)}" if words else ""


def named_inputs(workflow: Nodes) -> tuple[dict[str, NamedInput], list[Problem]]:
    """The inputs by name, and what is wrong with their names. Two of one name cannot be told apart."""
    found: dict[str, NamedInput] = {}
    problems: list[Problem] = []
    for each in _input_nodes(workflow):
        where = f"workflow.{each.node}.inputs.name"
        if not each.name:
            problems.append((where, f"is required by {each.kind}"))
        elif other := found.get(each.name):
            problems.append((where, f"{each.name!r} is also the name of node {other.node}; each input needs its own"))
        else:
            found[each.name] = each
    return found, problems


def value_problems(found: Mapping[str, NamedInput], given: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the values that were given."""
    for name, value in given.items():
        if name not in found:
            names = ", ".join(found) or "none; an input is a node such as StringInput_fal"
            yield f"inputs.{name}", f"the workflow has no input of this name; it has {names}"
        elif is_link(found[name].settings.get(found[name].place)):
            yield f"inputs.{name}", f"takes its value from another node of the workflow (node {found[name].node})"
        elif problem := found[name].problem(value):
            yield f"inputs.{name}", problem


def _input_nodes(workflow: Nodes) -> Iterator[NamedInput]:
    for node, found in workflow.items():
        if found["class_type"] in VALUES:
            name = found["inputs"].get("name")
            yield NamedInput(node, found["class_type"], name.strip() if isinstance(name, str) else "", found["inputs"])


def _decimal(value: Any) -> Decimal | None:
    """The number as it is written, so that 0.7 is seven steps of 0.1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _shown(value: Any) -> str:
    return repr(value)[:100]
