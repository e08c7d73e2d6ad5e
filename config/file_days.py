"""How long finished files are kept: a number of days, with others for tenants and labels. Pure.

`30,tenant:acme=7,label:draft=1,label:kind:preview=2`: a label's rule comes before a tenant's, and that before the
first number. Of several labels the shortest counts. 0, or no first number, keeps files for ever.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_RULE = re.compile(r"(tenant|label):(.+)=(\d{1,4})")


@dataclass(frozen=True)
class FileDays:
    """The rules. Days are whole and at least one; None is for ever."""

    default: int | None = None
    tenants: Mapping[str, int | None] = field(default_factory=dict)
    labels: Mapping[str, int | None] = field(default_factory=dict)  # `name` or `name:value`

    def of(self, tenant: str | None, labels: Mapping[str, str]) -> int | None:
        """The days of a job's files."""
        found = [
            self.labels[each]
            for name, value in labels.items()
            for each in (name, f"{name}:{value}")
            if each in self.labels
        ]
        if found:
            return min((days for days in found if days is not None), default=None)
        return self.tenants.get(tenant or "", self.default)


def read_file_days(text: str) -> FileDays:
    """The rules in a setting. Raises `ValueError`, which says what is allowed."""
    default, rules = None, {"tenant": dict[str, int | None](), "label": dict[str, int | None]()}
    for n, part in enumerate(each.strip() for each in text.split(",")):
        if not part:
            continue
        if n == 0 and re.fullmatch(r"\d{1,4}", part):
            default = int(part) or None
        elif rule := _RULE.fullmatch(part):
            rules[rule[1]][rule[2]] = int(rule[3]) or None
        else:
            raise ValueError("allowed: days, then tenant:name=days, label:name=days or label:name:value=days")
    return FileDays(default, rules["tenant"], rules["label"])
