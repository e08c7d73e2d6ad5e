"""Links to gated and private files of Hugging Face that the Comfy server can open without our token.

The server loads weights from URLs, with a token of its own environment, which is not ours. Our token goes to
huggingface.co alone: for a file in its large store the answer to `resolve` is a redirect to a signed link, which opens
this one file for about an hour (https://huggingface.co/docs/hub/xet/using-xet-storage). The link is made when a call
is sent. It is on no row, and `Hidden` takes it out of what the server says.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from worker.errors import RequestRefusedError, ServiceUnavailableError

TIMEOUT_S = 20.0
MOST_LINKS = 16
_FILE = re.compile(r"https://huggingface\.co/(?:[^/\s?#]+/){2}resolve/[^\s#]+")


class Hidden:
    """The signed links of a call, and the addresses that they stand for."""

    def __init__(self, links: Mapping[str, str] | None = None) -> None:
        self._links = dict(links or {})
        shown = [(text, address) for address, link in self._links.items() for text in _forms(link)]
        self._shown = sorted(shown, key=lambda pair: len(pair[0]), reverse=True)

    def put_into(self, value: Any) -> Any:
        """The value with the signed link in place of each address."""
        if isinstance(value, Mapping):
            return {name: self.put_into(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.put_into(each) for each in value]
        return self._links.get(value, value) if isinstance(value, str) else value

    def out_of(self, value: Any) -> Any:
        """The value with the address in place of each signed link, or of its query alone, quoted or not."""
        if isinstance(value, Mapping):
            return {name: self.out_of(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.out_of(each) for each in value]
        if isinstance(value, str):
            for text, address in self._shown:
                value = value.replace(text, address)
        return value


async def sign_links(http: httpx.AsyncClient, token: SecretStr, arguments: Mapping[str, Any]) -> Hidden:
    """A signed link for each file of Hugging Face among the arguments. A small file has none, and keeps its address.

    Raises `RequestRefusedError` for a file that the token may not read, and `ServiceUnavailableError`.
    """
    addresses = sorted(set(_addresses(arguments)))[:MOST_LINKS]
    return Hidden({address: link for address in addresses if (link := await _link(http, token, address))})


async def _link(http: httpx.AsyncClient, token: SecretStr, address: str) -> str | None:
    headers = {"authorization": f"Bearer {token.get_secret_value()}", "accept-encoding": "identity"}
    try:
        answer = await http.head(address, headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        text = f"huggingface.co could not be asked for {_shown(address)} ({type(error).__name__}); nothing was sent"
        raise ServiceUnavailableError(text) from error
    if answer.status_code in {401, 403, 404}:
        text = f"the Hugging Face token may not read {_shown(address)}, or there is no such file; nothing was sent"
        raise RequestRefusedError(text, kind="hugging_face", status=answer.status_code)
    if answer.status_code >= 400:
        text = f"huggingface.co: HTTP {answer.status_code} for {_shown(address)}; nothing was sent"
        raise ServiceUnavailableError(text, status=answer.status_code)
    target = answer.headers.get("location", "")
    return target if answer.is_redirect and urlsplit(target).scheme == "https" else None


def _forms(link: str) -> set[str]:
    """The texts that open the file: the link and its signature, also quoted."""
    signed = {link, urlsplit(link).query} - {""}
    return signed | {quote(text, safe="") for text in signed} | {escape(text) for text in signed}


def _addresses(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [found for each in value.values() for found in _addresses(each)]
    if isinstance(value, list | tuple):
        return [found for each in value for found in _addresses(each)]
    return [value] if isinstance(value, str) and _FILE.fullmatch(value) else []


def _shown(address: str) -> str:
    return urlsplit(address).path[:200]
