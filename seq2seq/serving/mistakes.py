"""What is wrong with a request that cannot be read, in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

UNREADABLE = "the body cannot be read; send JSON in UTF-8, not compressed"

HOPE = "Input should be "
"""How pydantic begins to say what a field may be."""


def what_is_wrong(errors: Sequence[Mapping[str, Any]], body: Any) -> str:
    """Return the place and the reason of the first mistake.

    A field that may be of several kinds has a mistake for each: what counts is the one that got furthest.

    Args:
        errors: as pydantic tells them; the place of each begins with `body`.
        body: what was sent: an object as it was read, or bytes of which nobody said that they are JSON.
    """
    first = errors[0]
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {first['ctx']['error']}, at character {first['loc'][1] + 1}"
    if isinstance(body, bytes):
        return "the body is not said to be JSON; send it with the header content-type: application/json"
    if not isinstance(body, dict):
        return "the body is no JSON object; /docs says what each address takes"
    places = [_place(error, body) for error in errors]
    # Errors come field by field.
    of_field = [i for i, place in enumerate(places) if place[:1] == places[0][:1]]
    furthest = max(of_field, key=lambda i: len(places[i]))  # the first of them
    said = [_said(errors[i]) for i in of_field if places[i] == places[furthest]]
    reason = " or ".join([said[0], *(more.removeprefix(HOPE) for more in dict.fromkeys(said[1:]))])
    return f"{'.'.join(map(str, places[furthest]))}: {reason}"


def _place(error: Mapping[str, Any], body: Any) -> list[Any]:
    """Return where a mistake is, without the kinds that pydantic names, such as `function-after[_text(), str]`."""
    found, at = [], body
    for part in error["loc"][1:]:
        try:
            at = at[part]
        except (TypeError, KeyError, IndexError):
            continue
        found.append(part)
    return [*found, error["loc"][-1]] if error["type"] == "missing" else found


def _said(error: Mapping[str, Any]) -> str:
    said = str(error["msg"]).removeprefix("Value error, ")
    return said.replace("a valid dictionary or object to extract fields from", "an object")
