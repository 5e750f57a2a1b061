"""The client's metadata: its contents, the environment, and that it never exceeds 512 bytes (mongodb-handshake)."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiredrv import __version__
from wiredrv.connection.metadata import MAX_METADATA_SIZE, client_metadata, runs_in_faas
from wiredrv.connection.settings import DriverInfo
from wiredrv.errors import ConfigurationError


def metadata(environment: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"app_name": None, "driver_info": (), "in_docker": False, **more}
    return client_metadata(given["app_name"], given["driver_info"], environment or {}, given["in_docker"])


def test_it_names_the_driver_the_system_and_the_interpreter() -> None:
    document = metadata()
    assert document["driver"] == {"name": "wiredrv", "version": __version__}
    assert {"type", "name", "architecture", "version"} >= set(document["os"]) >= {"type"}
    assert "Python" in document["platform"] or "PyPy" in document["platform"]
    assert "application" not in document
    assert "env" not in document


def test_it_names_the_application() -> None:
    assert metadata(app_name="shop")["application"] == {"name": "shop"}


def test_libraries_that_wrap_the_driver_are_appended_and_equal_ones_count_once() -> None:
    odm, web = DriverInfo("odm", "1.2", "sphere"), DriverInfo("web")
    document = metadata(driver_info=(odm, web, odm))
    assert document["driver"] == {"name": "wiredrv|odm|web", "version": f"{__version__}|1.2"}
    assert document["platform"].endswith("|sphere")


@pytest.mark.parametrize("part", [{"name": "a|b"}, {"name": "a", "version": "1|2"}, {"name": "a", "platform": "x|"}])
def test_a_part_that_would_break_the_parting_is_refused(part: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"\|"):
        DriverInfo(**part)


# --- the environment (mongodb-handshake tests, prose test 1) ----------------------------------------------------------

LAMBDA = {"AWS_EXECUTION_ENV": "AWS_Lambda_java8"}
ENVIRONMENTS: dict[str, tuple[dict[str, str], dict[str, Any] | None]] = {
    "none": ({}, None),
    "AWS": (
        {**LAMBDA, "AWS_REGION": "us-east-2", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"},
        {"name": "aws.lambda", "region": "us-east-2", "memory_mb": 1024},
    ),
    "AWS by its runtime": ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, {"name": "aws.lambda"}),
    "Azure": ({"FUNCTIONS_WORKER_RUNTIME": "node"}, {"name": "azure.func"}),
    "GCP": (
        {
            "K_SERVICE": "servicename",
            "FUNCTION_MEMORY_MB": "1024",
            "FUNCTION_TIMEOUT_SEC": "60",
            "FUNCTION_REGION": "us-central1",
        },
        {"name": "gcp.func", "memory_mb": 1024, "timeout_sec": 60, "region": "us-central1"},
    ),
    "GCP by its function": ({"FUNCTION_NAME": "f"}, {"name": "gcp.func"}),
    "Vercel": ({"VERCEL": "1", "VERCEL_REGION": "cdg1"}, {"name": "vercel", "region": "cdg1"}),
    "Vercel on AWS": ({**LAMBDA, "VERCEL": "1"}, {"name": "vercel"}),
    "two providers": ({**LAMBDA, "FUNCTIONS_WORKER_RUNTIME": "node"}, None),
    "three providers": ({**LAMBDA, "VERCEL": "1", "K_SERVICE": "x"}, None),
    "a number that is none": ({**LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "big"}, {"name": "aws.lambda"}),
    "a number over 32 bits": ({**LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(2**31)}, {"name": "aws.lambda"}),
    "not a lambda": ({"AWS_EXECUTION_ENV": "EC2"}, None),
    "Kubernetes": ({"KUBERNETES_SERVICE_HOST": "1"}, {"container": {"orchestrator": "kubernetes"}}),
    "AWS on Kubernetes": (
        {**LAMBDA, "AWS_REGION": "us-east-2", "KUBERNETES_SERVICE_HOST": "1"},
        {"name": "aws.lambda", "region": "us-east-2", "container": {"orchestrator": "kubernetes"}},
    ),
    "an empty variable": ({"VERCEL": "", "KUBERNETES_SERVICE_HOST": ""}, None),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment(name: str) -> None:
    environment, expected = ENVIRONMENTS[name]
    assert metadata(environment).get("env") == expected


def test_a_docker_container() -> None:
    assert metadata(in_docker=True)["env"] == {"container": {"runtime": "docker"}}
    both = metadata({"KUBERNETES_SERVICE_HOST": "1"}, in_docker=True)["env"]
    assert both == {"container": {"runtime": "docker", "orchestrator": "kubernetes"}}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_cloud_functions_are_known_as_such(name: str) -> None:
    environment, expected = ENVIRONMENTS[name]
    assert runs_in_faas(environment) == bool(expected and "name" in expected)


# --- the size limit ---------------------------------------------------------------------------------------------------


def test_a_long_region_costs_the_environments_details_first() -> None:
    document = metadata({**LAMBDA, "AWS_REGION": "a" * 512})
    assert document["env"] == {"name": "aws.lambda"}
    assert set(document["os"]) > {"type"}


def test_a_long_platform_costs_more_and_more() -> None:
    environment = {**LAMBDA, "AWS_REGION": "us-east-2"}
    previous = metadata(environment)
    for length in range(0, 700, 10):
        document = metadata(environment, driver_info=(DriverInfo("odm", platform="p" * length),))
        assert len(bson.encode(document)) <= MAX_METADATA_SIZE
        # A part that was once left out does not come back as the platform grows.
        assert len(document.get("env", {})) <= len(previous.get("env", {}))
        assert len(document["os"]) <= len(previous["os"])
        assert document["platform"].startswith("CPython") or "Py" in document["platform"]
        previous = document
    assert "env" not in previous
    assert set(previous["os"]) == {"type"}


texts = st.text(st.characters(exclude_characters="|\x00", exclude_categories=["Cs"]), max_size=300)
names = st.text(st.characters(exclude_characters="|\x00", exclude_categories=["Cs"]), min_size=1, max_size=300)
infos = st.lists(st.builds(DriverInfo, names, texts | st.none(), texts | st.none()), max_size=4)
variables = st.dictionaries(
    st.sampled_from(["AWS_EXECUTION_ENV", "AWS_REGION", "VERCEL", "VERCEL_REGION", "K_SERVICE", "FUNCTION_REGION"]),
    st.sampled_from(["", "1", "AWS_Lambda_x"]) | texts,
)


@given(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=32) | st.none(),
    infos,
    variables,
    st.booleans(),
)
def test_it_is_never_longer_than_512_bytes_and_always_names_the_driver_and_the_application(
    app_name: str | None, driver_info: list[DriverInfo], environment: dict[str, str], in_docker: bool
) -> None:
    document = metadata(environment, app_name=app_name, driver_info=tuple(driver_info), in_docker=in_docker)
    encoded = bson.encode(document)
    assert len(encoded) <= MAX_METADATA_SIZE
    assert bson.decode(encoded) == document, "no character was broken"
    assert document["driver"]["name"].startswith("wiredrv")
    assert document["driver"]["version"]
    assert document["os"]["type"]
    assert document.get("application", {}).get("name") == (app_name or None)
