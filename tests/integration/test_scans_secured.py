"""Scans by users who may read and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.scans import many_ranges
from tests.support.secured import ROOT_PASSWORD, create_users, key_file_arguments, with_user
from wiredrv.errors import OperationFailure
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client

ROLE = {
    "createRole": "orders alone",
    "privileges": [{"resource": {"db": "shop", "collection": "orders"}, "actions": ["find"]}],
    "roles": [],
}
USERS: list[dict[str, Any]] = [
    {"createUser": "reader", "pwd": ROOT_PASSWORD, "roles": [{"role": "read", "db": "shop"}]},
    {"createUser": "narrow", "pwd": ROOT_PASSWORD, "roles": ["orders alone"]},
    {"createUser": "nobody", "pwd": ROOT_PASSWORD, "roles": []},
]


@pytest.fixture(scope="module")
def secured_set(starts_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    arguments = key_file_arguments(tmp_path_factory.mktemp("key"))
    with ReplicaSet(members=1, extra_args=arguments) as deployment:
        create_users(deployment.uri, [])
        with Client(with_user(deployment.uri)) as client:
            client.shop.orders.insert_many([{"_id": number} for number in range(300)])
            client.shop.bills.insert_one({"_id": 1})
            client.admin.command(ROLE)
            for user in USERS:
                client.admin.command(user)
        yield deployment


@pytest.mark.parametrize("user", ["reader", "narrow"])
def test_the_privilege_to_find_is_enough(secured_set: ReplicaSet, user: str) -> None:
    with many_ranges(), Client(with_user(secured_set.uri, user)) as client, client.snapshot() as snap:
        scan = snap.scan(client.shop.orders, readers=3, ordered=True, batch_size=7)
        assert [order["_id"] for batch in scan for order in batch] == list(range(300))
        assert scan.progress.ranges > 3


@pytest.mark.parametrize(("user", "name"), [("nobody", "orders"), ("narrow", "bills")])
def test_without_it_the_server_says_what_is_missing(secured_set: ReplicaSet, user: str, name: str) -> None:
    with Client(with_user(secured_set.uri, user)) as client, client.snapshot() as snap:
        scan = snap.scan(client.shop[name])
        with pytest.raises(OperationFailure, match="not authorized on shop"):
            next(scan)
