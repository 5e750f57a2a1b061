"""The DNS records that the initial-dns-seedlist-discovery tests look up, below ``test.build.10gen.cc``.

``test4`` has none on purpose; ``test9`` never existed.
"""

from __future__ import annotations

from wiredrv.types import Address

DOMAIN = "test.build.10gen.cc"
_LOCAL = f"localhost.{DOMAIN}"

#: For each name below the domain: the targets and ports of its SRV records.
SRV_RECORDS: dict[str, tuple[Address, ...]] = {
    "_mongodb._tcp.test1": (Address(_LOCAL, 27017), Address(_LOCAL, 27018)),
    "_mongodb._tcp.test2": (Address(_LOCAL, 27018), Address(_LOCAL, 27019)),
    **{f"_mongodb._tcp.test{number}": (Address(_LOCAL, 27017),) for number in (3, 5, 6, 7, 8, 10, 11, 20, 21)},
    "_mongodb._tcp.test12": (Address("localhost.build.10gen.cc"),),
    "_mongodb._tcp.test13": (Address(DOMAIN),),
    "_mongodb._tcp.test14": (Address("localhost.not-test.build.10gen.cc"),),
    "_mongodb._tcp.test15": (Address("localhost.test.not-build.10gen.cc"),),
    "_mongodb._tcp.test16": (Address("localhost.test.build.not-10gen.cc"),),
    "_mongodb._tcp.test17": (Address("localhost.test.build.10gen.not-cc"),),
    "_mongodb._tcp.test18": (Address(f"localhost.sub.{DOMAIN}"),),
    "_mongodb._tcp.test19": (Address("localhost.evil.build.10gen.cc"), Address(_LOCAL)),
    # The data expects both ports, though the list of records that comes with it has one of them.
    "_customname._tcp.test22": (Address(_LOCAL, 27017), Address(_LOCAL, 27018)),
    "_mongodb._tcp.test23": (Address(_LOCAL, 8000),),
    "_mongodb._tcp.test24": (Address(_LOCAL, 8000),),
}

#: For each name below the domain: its TXT records, each with its strings.
TXT_RECORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "test5": (("replicaSet=repl0&authSource=thisDB",),),
    "test6": (("replicaSet=repl0",), ("authSource=otherDB",)),
    "test7": (("ssl=false",),),
    "test8": (("authSource",),),
    "test10": (("socketTimeoutMS=500",),),
    "test11": (("replicaS", "et=rep", "l0"),),
    "test20": (("loadBalanced=true",),),
    "test21": (("loadBalanced=false",),),
    "test24": (("loadBalanced=true",),),
}
