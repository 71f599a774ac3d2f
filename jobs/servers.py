"""Addresses of other model servers: which ones an admin may name.

A self-hosted vLLM lives on a private network, so private addresses are fine. Refused are the addresses by which a server
could be made to talk to its own cloud's metadata service, or to this studio's own database, Redis and web port.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings


class Refused(ValueError):
    """This address is not taken; the message says why."""


def check_url(url: str) -> str:
    """The address in its plain form, without a trailing slash."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise Refused("This is not a web address.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("The address starts with http:// or https://.")
    if parts.username or parts.password:
        raise Refused("Leave the name and password out of the address; the key has a field of its own.")
    if parts.query or parts.fragment:
        raise Refused("The address ends with its path, such as /v1.")
    for address in _addresses(parts.hostname, port):
        _check_address(address, port)
    return parts.geturl().rstrip("/")


def _addresses(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(f"The name {host} is not known on this network.") from None
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        raise Refused(f"{address} cannot be a model server: it is a link-local or special address.")
    if str(address) in ("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"):
        raise Refused(f"{address} is a cloud's metadata service.")
    if (str(address), port) in _own() or (address.is_loopback and port == settings.PORT):
        raise Refused("This is the studio itself, or one of its own services.")


def _own() -> set[tuple[str, int]]:
    """Where our own stores listen, if they do so on a network."""
    database, redis = settings.DATABASES["default"], urlsplit(settings.REDIS_URL)
    places = [
        (str(database.get("HOST") or ""), int(database.get("PORT") or 5432)),
        (redis.hostname or "", redis.port or 6379),
    ]
    own = set()
    for host, port in places:
        if host and not host.startswith("/"):
            try:
                own |= {(str(entry[4][0]), port) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
            except OSError:
                continue
    return own
