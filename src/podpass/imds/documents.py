"""The instance document: which members an api-version has, and how a path walks it.

Contract: pod identity, sections 4 and 4.2.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from podpass.imds.errors import ImdsError

VERSIONS = (
    "2017-03-01",
    "2017-04-02",
    "2017-08-01",
    "2017-10-01",
    "2017-12-01",
    "2018-02-01",
    "2018-04-02",
    "2018-10-01",
    "2019-02-01",
    "2019-03-11",
    "2019-04-30",
    "2019-06-01",
    "2019-06-04",
    "2019-08-01",
    "2019-08-15",
    "2019-11-01",
    "2020-06-01",
    "2020-07-15",
    "2020-09-01",
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-08-01",
    "2021-10-01",
    "2021-11-01",
    "2021-11-15",
    "2021-12-13",
    "2023-07-01",
)
SINCE = {
    "placementGroupId": "2017-08-01",
    "resourceGroupName": "2017-08-01",
    "subscriptionId": "2017-08-01",
    "tags": "2017-08-01",
    "vmScaleSetName": "2017-12-01",
    "zone": "2017-12-01",
    "plan": "2018-04-02",
    "publicKeys": "2018-04-02",
    "azEnvironment": "2018-10-01",
    "provider": "2018-10-01",
    "customData": "2019-02-01",
    "resourceId": "2019-03-11",
    "storageProfile": "2019-06-01",
    "tagsList": "2019-06-04",
    "osProfile": "2020-07-15",
    "licenseType": "2020-09-01",
    "priority": "2020-12-01",
    "evictionPolicy": "2020-12-01",
    "userData": "2021-01-01",
}
"""The api-version since which `compute` has a member; the others it has always had."""
_SEGMENT = re.compile(r"[A-Za-z0-9_]{1,64}")


def read(document: Mapping[str, Any], path: str, query: Mapping[str, str]) -> Any | ImdsError:
    """What *path*, below /metadata/instance, shows of *document*: JSON values, or a text for format=text."""
    version, form = query.get("api-version", ""), query.get("format", "json").lower()
    if version not in VERSIONS:
        why = "api-version was not specified in the request" if not version else "api-version is invalid"
        text = f"Bad request. {why}. For more information refer to aka.ms/azureimds"
        return ImdsError(400, "invalid_request", text)
    if form not in ("json", "text"):
        return ImdsError(400, "invalid_request", "Bad request. The format must be json or text")
    compute = {name: value for name, value in document["compute"].items() if SINCE.get(name, "") <= version}
    found: Any = {**document, "compute": compute}
    for segment in (part for part in path.split("/") if part):
        if isinstance(found, Mapping) and _SEGMENT.fullmatch(segment) and segment in found:
            found = found[segment]
        elif isinstance(found, Sequence) and not isinstance(found, str) and segment.isdigit() and len(segment) < 4:
            if int(segment) >= len(found):
                return _missing(path)
            found = found[int(segment)]
        else:
            return _missing(path)
    if form == "json":
        if isinstance(found, str):
            return ImdsError(
                400, "invalid_request", "Bad request. A single value has no JSON form: ask for format=text"
            )
        return found
    return _text(found)


def _text(value: Any) -> str:
    """A value as it is; of an object or a list the names, with a slash behind what has members itself."""
    if isinstance(value, str):
        return value
    members = value.items() if isinstance(value, Mapping) else enumerate(value)
    return "\n".join(str(name) if isinstance(member, str) else f"{name}/" for name, member in members)


def _missing(path: str) -> ImdsError:
    return ImdsError(404, "not_found", f"{path[:100]} was not found")
