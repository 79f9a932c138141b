"""The lab's instance metadata service: what a virtual machine of Resource Manager learns of itself.

Imitated: tokens of the machine's own and of user-assigned identities, `identity/info`, the instance document as JSON
and text, the list of api-versions, and on request the limits on requests. A machine without identities, and programs
that run on none, are told so in the words that clients do not repeat.

Missing, and answered 404: attested documents, scheduled events, load balancers.

Contract: pod identity, section 4; Azure HTTP surface, section 3.
"""

from podpass.lab.instance.http import Instance

__all__ = ["Instance"]
