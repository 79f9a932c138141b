"""The bodies of requests about certificates.

Contract: secrets store, section 3.5.
"""

import msgspec

from podpass.lab.keyvault.certificate_making import Policy
from podpass.lab.keyvault.model import Attributes


class CreateParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to create a certificate."""

    policy: Policy | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()


class ImportParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to import a certificate. It does not show the private key."""

    value: str
    pwd: str | None = None
    policy: Policy | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()

    def __repr__(self) -> str:
        return "ImportParameters()"


class MergeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to merge what an issuer has signed, the own certificate first."""

    x5c: list[str]
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()


class UpdateParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to update a version; what is absent stays."""

    policy: Policy | None = None
    tags: dict[str, str] | None = None
    attributes: Attributes = Attributes()


class CancelParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request to cancel an operation."""

    cancellation_requested: bool
