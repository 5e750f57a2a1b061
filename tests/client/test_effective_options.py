"""``client.options``: what is in force, under PyMongo's names and with PyMongo's values."""

from __future__ import annotations

from typing import Any

import pymongo
import pytest
from pymongo import read_preferences
from pymongo.client_options import ClientOptions as TheirOptions
from pymongo.pool_options import PoolOptions as TheirPoolOptions

import wiredrv
from wiredrv.client.effective import EffectiveOptions, EffectivePoolOptions

#: What PyMongo's have, and this driver's do not.
ABSENT = {"auto_encryption_opts", "connect", "event_listeners", "server_selector"}
URIS = [
    "mongodb://localhost",
    "mongodb://localhost/?directConnection=true&timeoutMS=0&retryReads=false&retryWrites=false",
    "mongodb://a,b/?replicaSet=rs&localThresholdMS=20&serverSelectionTimeoutMS=5000&heartbeatFrequencyMS=2000"
    "&serverMonitoringMode=poll&timeoutMS=1500&maxAdaptiveRetries=5&enableOverloadRetargeting=true",
    "mongodb://localhost/?maxPoolSize=7&minPoolSize=3&maxConnecting=4&maxIdleTimeMS=9000&waitQueueTimeoutMS=800"
    "&connectTimeoutMS=3000&socketTimeoutMS=2500&appName=shop",
    "mongodb://localhost/?loadBalanced=true",
]


def _public(kind: type[Any]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_names_are_pymongos() -> None:
    assert _public(TheirOptions) - _public(EffectiveOptions) == ABSENT
    assert _public(EffectiveOptions) <= _public(TheirOptions)


def test_the_names_of_pool_options_are_pymongos() -> None:
    assert _public(EffectivePoolOptions) <= _public(TheirPoolOptions)


@pytest.mark.parametrize("uri", URIS)
def test_the_values_are_pymongos(uri: str) -> None:
    theirs = pymongo.AsyncMongoClient(uri).options
    ours = wiredrv.Client(uri).options
    plain = ["codec_options", "direct_connection", "local_threshold_ms", "server_selection_timeout"]
    plain += ["heartbeat_frequency", "replica_set_name", "timeout", "retry_writes", "retry_reads", "load_balanced"]
    plain += ["server_monitoring_mode", "max_adaptive_retries", "enable_overload_retargeting"]
    expected: dict[str, Any] = {name: getattr(theirs, name) for name in plain}
    expected |= {name: bool(expected[name]) for name in ("direct_connection", "load_balanced")}
    assert {name: getattr(ours, name) for name in plain} == expected
    names = _public(EffectivePoolOptions) - {"load_balanced", "max_pool_size", "metadata"}
    if "connectTimeoutMS" not in uri:
        names -= {"connect_timeout"}  # 10 s by default: that is the uri-options specification's
    pools = theirs.pool_options
    assert {name: getattr(ours.pool_options, name) for name in names} == {name: getattr(pools, name) for name in names}
    assert ours.pool_options.max_pool_size == (pools.max_pool_size or 0)
    assert ours.pool_options.load_balanced is bool(pools.load_balanced)


def test_the_guarantees_are_the_clients() -> None:
    given: Any = {
        "read_preference": read_preferences.Secondary(),
        "write_concern": pymongo.WriteConcern(2),
        "read_concern": wiredrv.ReadConcern("local"),
        "driver": wiredrv.DriverInfo("odm"),
        "server_api": wiredrv.ServerApi("1"),
    }
    options = wiredrv.Client(**given).options
    assert options.read_preference == wiredrv.ReadPreference.SECONDARY
    assert options.write_concern == wiredrv.WriteConcern(2)
    assert options.read_concern == wiredrv.ReadConcern("local")
    assert options.pool_options.driver == wiredrv.DriverInfo("odm")
    assert options.pool_options.server_api == wiredrv.ServerApi("1")


def test_the_metadata_is_what_new_connections_send() -> None:
    client = wiredrv.Client("mongodb://localhost/?appName=shop")
    before = client.options.pool_options.metadata
    assert before["application"] == {"name": "shop"}
    assert before["driver"]["name"] == "wiredrv"
    before["driver"]["name"] = "a copy"
    client.append_metadata(wiredrv.DriverInfo("odm", "1.0"))
    after = client.options.pool_options.metadata
    assert after["driver"]["name"] == "wiredrv|odm"
    assert after["driver"]["version"].endswith("|1.0")
    assert after.keys() == before.keys()
