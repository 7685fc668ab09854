"""Which network addresses a downloader may be led to: public ones only, judged on the address that is about to be connected."""

import ipaddress

# All that is global unicast so far (IANA); Python's lists leave out the old site-local addresses, fec0::/10.
_UNICAST = ipaddress.ip_network("2000::/3")
# RFC 6052: the IPv4 address in the last 32 bits is what is reached.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether a numeric IPv4 or IPv6 address is globally routable unicast; False for what is not an address.

    Loopback, private, link-local (169.254.169.254 with it), multicast, reserved and unspecified are not public, nor is an IPv6
    form (mapped, 6to4, Teredo, NAT64) of one that is not.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if parsed in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return True
    return parsed in _UNICAST and all(is_public(str(inner)) for inner in _inner(parsed))


def any_address(_address: str) -> bool:
    """Every address may be connected: for --allow-private-addresses, and for a proxy, which decides by itself."""
    return True


def _inner(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    found = [address.sixtofour, *(address.teredo or ())]
    return [inner for inner in found if inner is not None]
