"""Request bodies into objects, and the forms an answer can take.

Contract: Kubernetes API surface, section 1.4.
"""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.extension import ProtobufDecoder

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML)
MAX_BODY_BYTES = 3 * 1024 * 1024
MAX_DEPTH = 200
MAX_YAML_EVENTS = 60_000
"""Values, and the beginnings and ends of collections: about a second of work. JSON has no such need."""

_decode = msgspec.json.Decoder().decode


def decode_json(body: bytes) -> Any:
    """The JSON value in *body*. Raises StatusError 400 for anything else, and for nesting without bounds."""
    try:
        value = _decode(body)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise StatusError.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    except RecursionError as error:
        raise _too_deep() from error
    # Fewer opening brackets than levels: no need to look.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        check_depth(value)
    return value


def decode_yaml(body: bytes) -> Any:
    """The value of a YAML document. Raises StatusError 400.

    Refused before anything is built: aliases, which multiply a small body, and nesting and numbers of values that
    would keep the parser busy for seconds.
    """
    import yaml

    class Loader(yaml.CSafeLoader):
        # Times stay text, as in JSON.
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        depth = 0
        for number, event in enumerate(yaml.parse(body, Loader)):
            if isinstance(event, yaml.AliasEvent):
                raise StatusError.bad_request("error parsing YAML: aliases are not supported")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise _too_deep()
            if number > MAX_YAML_EVENTS:
                raise StatusError.bad_request("error parsing YAML: the document holds too many values")
        value = yaml.load(body, Loader)  # noqa: S506 a safe loader
        # Keys that JSON does not have, such as numbers, become text here or are refused.
        value = _decode(msgspec.json.encode(value))
    except (yaml.YAMLError, ValueError, TypeError, msgspec.MsgspecError, UnicodeError) as error:
        raise StatusError.bad_request(f"error converting YAML to JSON: {error}") from error
    except RecursionError as error:
        raise _too_deep() from error
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raises StatusError 400 for nesting deeper than MAX_DEPTH."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        level = [
            each
            for node in level
            for each in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(each, dict | list)
        ]


def _too_deep() -> StatusError:
    return StatusError.bad_request(f"json parse error: exceeded max depth of {MAX_DEPTH}")


def decode_object(media_type: str, body: bytes, protobuf: ProtobufDecoder | None) -> Obj:
    """The object in a body. Without a media type it is JSON. Raises StatusError (400, 415)."""
    match media_type:
        case "" | "application/json":
            value = decode_json(body)
        case "application/yaml":
            value = decode_yaml(body)
        case "application/vnd.kubernetes.protobuf" if protobuf is not None:
            value = protobuf(body)
        case _:
            raise StatusError.unsupported_media_type(ACCEPTED)
    if not isinstance(value, dict):
        raise StatusError.bad_request("the body of the request is not an object")
    return value


@dataclass(frozen=True, slots=True)
class Form:
    """How the client wants objects."""

    shape: Literal["object", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"] = "object"
    yaml: bool = False


PLAIN = Form()
_SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


def form_of(accept: str) -> Form:
    """The first alternative that can be served. Raises StatusError 406."""
    if not accept or accept == JSON:
        return PLAIN
    for alternative in accept.split(","):
        media_type, *parameters = (part.strip() for part in alternative.split(";"))
        media_type = media_type.lower()
        if media_type in (JSON, "*/*", "application/*"):
            given = dict(parameter.partition("=")[::2] for parameter in parameters)
            shape = given.get("as", "")
            if not shape:
                return PLAIN
            if shape in _SHAPES and given.get("v") == "v1" and given.get("g") == "meta.k8s.io":
                return Form(shape)  # type: ignore[arg-type]
        elif media_type == YAML and not parameters:
            return Form(yaml=True)
    raise StatusError.not_acceptable(ACCEPTED)
