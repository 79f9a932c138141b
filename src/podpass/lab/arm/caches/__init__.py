"""Azure Cache for Redis as Resource Manager has it: `Microsoft.Cache/redis`, its keys, and what is to run of it.

Followed: api-version 2024-11-01. Missing: firewall rules, patch schedules, linked servers, access policies and Entra
tokens in place of keys, import and export, reboots, private endpoints, clustering and replicas as servers of their own.

Contract: Azure HTTP surface, section 4.
"""

from podpass.lab.arm.caches.actions import NOT_EMULATED, OPERATIONS
from podpass.lab.arm.caches.cache import CACHE, DNS_SUFFIX, PORT, TLS_PORT
from podpass.lab.arm.caches.wanted import WantedCache

__all__ = ["CACHE", "DNS_SUFFIX", "NOT_EMULATED", "OPERATIONS", "PORT", "TLS_PORT", "WantedCache"]
