"""Shows a URL of a setting without any part of its login."""

_QUERY = "?"


def shown_url(text: str) -> str:
    """The text; in a URL, *** instead of user, password and query, whatever signs they hold.

    A login ends at the last @, since a host has none. `config.logging.mask_text` hides logins inside other text.
    """
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        return text
    _, at, place = rest.rpartition("@")
    place, query, _ = place.partition(_QUERY)
    return f"{scheme}://{'***@' if at else ''}{place}{'?***' if query else ''}"
