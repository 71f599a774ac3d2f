"""Keys of other servers, sealed before they reach the database. The key to them is not the one that signs sessions."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class Sealed(ValueError):
    """The text was sealed with another FIELD_KEY than this one."""


def seal(text: str) -> str:
    return _box().encrypt(text.encode()).decode() if text else ""


def unseal(text: str) -> str:
    try:
        return _box().decrypt(text.encode()).decode() if text else ""
    except InvalidToken:
        raise Sealed("This key was stored under another FIELD_KEY. Enter it again on the models page.") from None


def _box() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(settings.FIELD_KEY.encode()).digest()))
