"""Proxies of the environment (HTTP_PROXY and others): removed from our processes unless a setting trusts them.

Each library decides for itself whether it follows these variables: fal's SDK does for uploads and tokens, anthropic,
google-auth and obstore do, our own transport does not. So some keys went through a proxy, and some calls around it. The
environment is the one place that all of them read, also those that have no option for it (obstore, fal's SDK).
"""

import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

VARIABLE = "KILNHAND_TRUST_PROXIES"


def settle_proxies(trusted: bool, environ: MutableMapping[str, str] = os.environ) -> None:
    """Let every client of this process and of its children follow the environment's proxies, or none."""
    environ[VARIABLE] = "true" if trusted else "false"
    if not trusted:
        for name in [name for name in environ if name.lower().endswith("_proxy")]:
            del environ[name]
        environ["NO_PROXY"] = environ["no_proxy"] = "*"  # also for the proxies of a system's own settings


def proxy_for(url: str) -> str | None:
    """The proxy that our own transport uses for the URL; None unless proxies are trusted."""
    parts = urlsplit(url)
    if os.environ.get(VARIABLE) != "true" or not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
