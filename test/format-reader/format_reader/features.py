"""Features that a config or a root requires or has (bytes.md, "Features")."""

import re
from typing import NamedTuple

from .errors import Refusal
from .jsontext import Fields

MOST_FEATURES = 16
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
KNOWN: frozenset[str] = frozenset()


class Features(NamedTuple):
    """Two lists of names, as they stand in the JSON."""

    required: list[str]
    optional: list[str]


def read_features(fields: Fields, where: str) -> Features:
    """Both lists, of their form; one that is required and not known is refused by name (bytes.md, "Features")."""
    features = Features(_names(fields, "requiredFeatures"), _names(fields, "optionalFeatures"))
    unknown = [name for name in features.required if name not in KNOWN]
    if unknown:
        raise Refusal("RepositoryVersionUnknown", f"{where} requires the feature {', '.join(unknown)}")
    return features


def _names(fields: Fields, field: str) -> list[str]:
    names = fields.items(field)
    if len(names) > MOST_FEATURES or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise fields.refuse(field, f"a list of up to {MOST_FEATURES} short names")
    return [str(name) for name in names]
