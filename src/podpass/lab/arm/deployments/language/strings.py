"""String functions. Contract: the reference's page on them."""

import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import quote, unquote, urljoin

from podpass.lab.arm.deployments.language import hashing
from podpass.lab.arm.deployments.language.errors import ExpressionError
from podpass.lab.arm.deployments.language.registry import MANY, Group, array, check_length, integer, not_one_of, text
from podpass.lab.arm.deployments.language.values import text_of

STRINGS = Group()
_HOLE = re.compile(r"\{\{|\}\}|\{(?P<index>\d{1,3})(?:,(?P<width>-?\d{1,4}))?(?::(?P<format>[^{}]*))?\}|[{}]")
_DATA_URI = re.compile(r"data:(?P<type>[^,;]*(?:;(?!base64)[^,;]*)*)(?P<coded>;base64)?,(?P<data>.*)", re.DOTALL)


@STRINGS.add("base64", 1)
def _base64(value: Any) -> str:
    return base64.b64encode(text("base64", value).encode()).decode()


@STRINGS.add("base64ToString", 1)
def _base64_to_string(value: Any) -> str:
    try:
        return base64.b64decode(text("base64ToString", value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ExpressionError("The template language function 'base64ToString' expects a base64 text.") from error


@STRINGS.add("base64ToJson", 1)
def _base64_to_json(value: Any) -> Any:
    return _json(_base64_to_string(value))


@STRINGS.add("json", 1)
def _json(value: Any) -> Any:
    given = text("json", value)
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        pass
    try:
        # Single quotes are common in templates, whose own quotes are the double ones.
        return json.loads(given.replace('"', '\\"').replace("'", '"'))
    except (ValueError, RecursionError) as error:
        raise ExpressionError(
            "The template language function 'json' parameter is not valid. The provided value cannot be converted to "
            "the target type: 'invalid JSON'."
        ) from error


@STRINGS.add("dataUri", 1)
def _data_uri(value: Any) -> str:
    return f"data:text/plain;charset=utf8;base64,{_base64(value)}"


@STRINGS.add("dataUriToString", 1)
def _data_uri_to_string(value: Any) -> str:
    match = _DATA_URI.fullmatch(text("dataUriToString", value))
    if match is None:
        raise ExpressionError("The template language function 'dataUriToString' expects a data URI.")
    return str(_base64_to_string(match["data"])) if match["coded"] else unquote(match["data"])


@STRINGS.add("endsWith", 2)
def _ends_with(value: Any, end: Any) -> bool:
    return text("endsWith", value).lower().endswith(text("endsWith", end).lower())


@STRINGS.add("startsWith", 2)
def _starts_with(value: Any, start: Any) -> bool:
    return text("startsWith", value).lower().startswith(text("startsWith", start).lower())


@STRINGS.add("format", 1, MANY)
def _format(pattern: Any, *values: Any) -> str:
    length = 0

    def filled(match: re.Match[str]) -> str:
        nonlocal length
        whole = match[0]
        if whole in ("{{", "}}"):
            return whole[0]
        if match["index"] is None or int(match["index"]) >= len(values):
            raise ExpressionError(
                "Unable to evaluate language function 'format': the format is invalid: 'Index (zero based) must be "
                "greater than or equal to zero and less than the size of the argument list.'."
            )
        shown = _formatted(values[int(match["index"])], match["format"] or "")
        width = int(match["width"] or 0)
        length += max(len(shown), abs(width))
        check_length("format", length)
        return shown.ljust(-width) if width < 0 else shown.rjust(width)

    return _HOLE.sub(filled, text("format", pattern))


def _formatted(value: Any, form: str) -> str:
    if not form or not isinstance(value, int) or isinstance(value, bool):
        return text_of(value)
    kind, digits = form[0].upper(), int(form[1:]) if form[1:].isdigit() else 0
    sign, size = "-" if value < 0 else "", abs(value)
    match kind:
        case "D":
            return sign + str(size).zfill(digits)
        case "X":
            shown = f"{value & 0xFFFF_FFFF_FFFF_FFFF:x}" if value < 0 else f"{value:x}"
            return (shown.upper() if form[0] == "X" else shown).zfill(digits)
        case "N":
            return sign + f"{size:,.{digits if form[1:] else 2}f}"
        case "F":
            return sign + f"{size:.{digits if form[1:] else 2}f}"
    if re.fullmatch(r"0+", form):
        return sign + str(size).zfill(len(form))
    raise ExpressionError(f"The template function 'format' does not know the format '{form}' in this lab.")


@STRINGS.add("guid", 1, MANY)
def _guid(*parts: Any) -> str:
    return hashing.guid([text("guid", part) for part in parts])


@STRINGS.add("uniqueString", 1, MANY)
def _unique_string(*parts: Any) -> str:
    return hashing.unique_string([text("uniqueString", part) for part in parts])


@STRINGS.add("join", 2)
def _join(items: Any, delimiter: Any) -> str:
    parts, between = [text_of(item) for item in array("join", items)], text("join", delimiter)
    check_length("join", sum(map(len, parts)) + len(between) * max(len(parts) - 1, 0))
    return between.join(parts)


@STRINGS.add("padLeft", 2, 3)
def _pad_left(value: Any, length: Any, filler: Any = " ") -> str:
    if not isinstance(value, str | int):
        raise not_one_of("padLeft", "String, Integer", value)
    if len(text("padLeft", filler)) != 1:
        raise ExpressionError("The template language function 'padLeft' expects a padding of one character.")
    return text_of(value).rjust(min(integer("padLeft", length), 10_000), filler)


@STRINGS.add("replace", 3)
def _replace(value: Any, old: Any, new: Any) -> str:
    given, before, after = text("replace", value), text("replace", old), text("replace", new)
    if not before:
        return given
    check_length("replace", len(given) + given.count(before) * (len(after) - len(before)))
    return given.replace(before, after)


@STRINGS.add("split", 2)
def _split(value: Any, delimiter: Any) -> list[str]:
    marks = delimiter if isinstance(delimiter, list) else [delimiter]
    given = text("split", value)
    pattern = "|".join(re.escape(text("split", mark)) for mark in marks if mark)
    return re.split(pattern, given) if pattern else [given]


@STRINGS.add("string", 1)
def _string(value: Any) -> str:
    return text_of(value)


@STRINGS.add("substring", 2, 3)
def _substring(value: Any, start: Any, length: Any = None) -> str:
    given, begin = text("substring", value), integer("substring", start)
    count = len(given) - begin if length is None else integer("substring", length)
    if begin < 0 or count < 0 or begin + count > len(given):
        raise ExpressionError(
            "Unable to evaluate the template language function 'substring'. The parameters 'startIndex' and 'length' "
            f"must refer to a location within the string. Actual: startIndex '{begin}', length '{count}', string "
            f"length '{len(given)}'."
        )
    return given[begin : begin + count]


@STRINGS.add("toLower", 1)
def _to_lower(value: Any) -> str:
    return text("toLower", value).lower()


@STRINGS.add("toUpper", 1)
def _to_upper(value: Any) -> str:
    return text("toUpper", value).upper()


@STRINGS.add("trim", 1)
def _trim(value: Any) -> str:
    return text("trim", value).strip()


@STRINGS.add("uri", 2)
def _uri(base: Any, relative: Any) -> str:
    return urljoin(text("uri", base), text("uri", relative))


@STRINGS.add("uriComponent", 1)
def _uri_component(value: Any) -> str:
    return quote(text("uriComponent", value), safe="-_.!~*'()")


@STRINGS.add("uriComponentToString", 1)
def _uri_component_to_string(value: Any) -> str:
    return unquote(text("uriComponentToString", value))
