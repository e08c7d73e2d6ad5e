"""Refuses a secret that can be guessed: too few signs, a repeated word, a sequence, a placeholder."""

from itertools import pairwise

LEAST = 16  # characters
LEAST_DIFFERENT = 6
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "password", "passwort", "your-secret", "your_secret")


def weakness(secret: str) -> str | None:
    """Why the secret is weak; None if it is not. The text holds no part of it."""
    if len(secret) < LEAST:
        return f"is too short: at least {LEAST} characters"
    if len(set(secret)) < LEAST_DIFFERENT or any(text in (2 * text)[1:-1] for text in (secret, f"{secret} ")):
        return "repeats itself; make one with `openssl rand -hex 32`"
    steps = [abs(ord(b) - ord(a)) for a, b in pairwise(secret)]
    if sum(step <= 1 for step in steps) > 0.6 * len(steps):
        return "is a sequence; make one with `openssl rand -hex 32`"
    if any(word in secret.lower() for word in _PLACEHOLDERS):
        return "is a placeholder; make one with `openssl rand -hex 32`"
    return None
