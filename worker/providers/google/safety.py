"""Named profiles for Google's content filters. Its filters against child abuse cannot be set.

`strict` blocks content of low probability and above. `default` sends no settings. `fashion` blocks only content of high
probability, does not filter bare skin (swimwear, lingerie), and allows adults only. `open` turns off every filter that
can be set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from google.genai import types

Profile = Literal["strict", "default", "fashion", "open"]
_LOW, _HIGH = types.HarmBlockThreshold.BLOCK_LOW_AND_ABOVE, types.HarmBlockThreshold.BLOCK_ONLY_HIGH
_NONE = types.HarmBlockThreshold.BLOCK_NONE
_ADJUSTABLE = (
    types.HarmCategory.HARM_CATEGORY_HARASSMENT,
    types.HarmCategory.HARM_CATEGORY_HATE_SPEECH,
    types.HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT,
)
_SEXUAL = types.HarmCategory.HARM_CATEGORY_SEXUALLY_EXPLICIT


@dataclass(frozen=True)
class Safety:
    """A profile as the settings of each kind of call. None means Google's default."""

    settings: tuple[types.SafetySetting, ...] | None = None
    people: types.PersonGeneration | None = None  # Vertex AI only
    filter_level: types.SafetyFilterLevel | None = None  # predict has one setting for all categories


def _thresholds(others: types.HarmBlockThreshold, sexual: types.HarmBlockThreshold) -> tuple[types.SafetySetting, ...]:
    rest = [types.SafetySetting(category=category, threshold=others) for category in _ADJUSTABLE]
    return (*rest, types.SafetySetting(category=_SEXUAL, threshold=sexual))


PROFILES: Mapping[Profile, Safety] = {
    "strict": Safety(
        _thresholds(_LOW, _LOW), types.PersonGeneration.ALLOW_ADULT, types.SafetyFilterLevel.BLOCK_LOW_AND_ABOVE
    ),
    "default": Safety(),
    "fashion": Safety(
        _thresholds(_HIGH, _NONE), types.PersonGeneration.ALLOW_ADULT, types.SafetyFilterLevel.BLOCK_ONLY_HIGH
    ),
    "open": Safety(_thresholds(_NONE, _NONE), types.PersonGeneration.ALLOW_ALL, types.SafetyFilterLevel.BLOCK_NONE),
}
