"""Writes `.env.example` from the settings: `python -m config.env_example > .env.example`. A test tells when to."""

import inspect
import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from config.settings import GROUPS, variable

_HEAD = """\
# Copy to .env and set what differs. The environment counts more than this file.
# Written by `python -m config.env_example` from config/settings.py: change it there."""

_VENDORS = """\
# fal.ai's key, the first found of: FAL_KEY; FAL_KEY_ID with FAL_KEY_SECRET; FAL_API_KEY; fal-config.ini; the fal
# CLI's login. Without one, fal is disabled.
#FAL_KEY=<id>:<secret>
#FAL_KEY_ID=
#FAL_KEY_SECRET=
#FAL_API_KEY=

# Vertex AI, the first found of: GOOGLE_APPLICATION_CREDENTIALS (a service account's key file); GOOGLE_CLOUD_PROJECT
# with the machine's own login; GOOGLE_API_KEY with GOOGLE_GENAI_USE_ENTERPRISE=true. Without one, it is disabled.
#GOOGLE_APPLICATION_CREDENTIALS=
#GOOGLE_CLOUD_PROJECT=
# where Vertex AI runs all but try-on and video; global when it is not set
#GOOGLE_CLOUD_LOCATION=
#GOOGLE_API_KEY=
#GOOGLE_GENAI_USE_ENTERPRISE=
# The Gemini API: GEMINI_API_KEY, or GOOGLE_API_KEY without GOOGLE_GENAI_USE_ENTERPRISE. Without one, it is disabled.
#GEMINI_API_KEY="""

_COMPOSE = """\
# Read by docker-compose.yml alone.
# worker replicas
#KILNHAND_WORKERS=1
# where the gateway is reached on this machine
#KILNHAND_GATEWAY_PUBLISH=127.0.0.1:8080
# user and password of the dashboard; it does not start without
#FLOWER_BASIC_AUTH=<user>:<password>"""


def env_example() -> str:
    """The text of `.env.example`: every setting with its description and, commented out, its default."""
    return "\n\n".join([_HEAD, *map(_group, GROUPS), _VENDORS, _COMPOSE]) + "\n"


def _group(group: type[BaseSettings]) -> str:
    return "\n".join([f"# {(inspect.getdoc(group) or group.__name__).splitlines()[0]}", *_lines(group)])


def _lines(group: type[BaseSettings]) -> Iterator[str]:
    for name, field in group.model_fields.items():
        yield f"# {field.description}"
        yield f"#{variable(group, name)}={_default(field)}"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


if __name__ == "__main__":
    sys.stdout.write(env_example())
