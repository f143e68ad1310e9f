"""JSON as the format uses it: objects whose fields are looked at one by one, and never trusted to be there."""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from .errors import Refusal

# The greatest whole number that every JSON reader tells from its neighbours (RFC 8259, section 6).
LARGEST_INTEGER = 2**53 - 1


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


class Fields:
    """The fields of one JSON object. What has not the form that is asked for is refused with the reason of the
    whole."""

    def __init__(self, fields: dict[str, Any], reason: str, where: str) -> None:
        self._fields = fields
        self._reason = reason
        self._where = where

    @classmethod
    def parse(cls, data: bytes, reason: str, where: str) -> "Fields":
        """Bytes in UTF-8 that are one JSON object."""
        try:
            value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal(reason, f"{where} is no JSON") from error
        if not isinstance(value, dict):
            raise Refusal(reason, f"{where} is no JSON object")
        return cls(value, reason, where)

    def refuse(self, name: str, wanted: str) -> Refusal:
        """The refusal of one field."""
        return Refusal(self._reason, f"{self._where}: {name} is not {wanted}")

    def has(self, name: str) -> bool:
        """Whether the field is there at all."""
        return name in self._fields

    def holds(self, name: str, value: str | int) -> bool:
        """Whether the field is there and is this text or number."""
        found = self._fields.get(name)
        return not isinstance(found, bool) and found == value

    def text(self, name: str) -> str:
        """A field that is a text."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise self.refuse(name, "a text")
        return value

    def integer(self, name: str, least: int = 0, greatest: int = LARGEST_INTEGER) -> int:
        """A field that is a whole number from `least` to `greatest`, however JSON spells it (1 and 1.0 are one
        number)."""
        value = self._fields.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= greatest:
            raise self.refuse(name, f"a whole number from {least} to {greatest}")
        return value

    def hexadecimal(self, name: str, digits: int) -> str:
        """A field of lower case hex digits."""
        value = self.text(name)
        if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            raise self.refuse(name, f"{digits} hex digits")
        return value

    def base64(self, name: str) -> bytes:
        """A field in base64, alphabet and padding of RFC 4648, section 4."""
        value = self.text(name)
        try:
            return base64.b64decode(value.encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise self.refuse(name, "base64") from error

    def inner(self, name: str) -> "Fields":
        """A field that is an object."""
        value = self._fields.get(name)
        if not isinstance(value, dict):
            raise self.refuse(name, "an object")
        return Fields(value, self._reason, f"{self._where}: {name}")

    def items(self, name: str) -> list[Any]:
        """A field that is a list."""
        value = self._fields.get(name)
        if not isinstance(value, list):
            raise self.refuse(name, "a list")
        return value
