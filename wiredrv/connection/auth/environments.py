"""Access tokens from what a program runs in: which file, or what to ask a metadata service, and its answer. Pure.

Specification: auth ("Built-in OIDC Environment Integrations").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from wiredrv.errors import CredentialsError

#: Where pods find the token of their service account.
_SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_AZURE_HOST, _AZURE_PATH = "169.254.169.254", "/metadata/identity/oauth2/token"
_GCP_HOST, _GCP_PATH = "metadata", "/computeMetadata/v1/instance/service-accounts/default/identity"

#: The environments by the values of ENVIRONMENT, and what a token is asked for with there.
ENVIRONMENTS = ("test", "azure", "gcp", "k8s")
WITH_RESOURCE = frozenset({"azure", "gcp"})
#: The environments in which a user name says whose token is meant: on Azure, the id of a managed identity.
WITH_USERNAME = frozenset({"azure"})


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """A GET request, over HTTP, to a metadata service."""

    host: str
    target: str
    headers: Mapping[str, str]


def token_file(environment: str, variables: Mapping[str, str]) -> str | None:
    """The path of the file with the token; None where a metadata service is asked.

    :param variables: the environment variables of the process.
    :raises CredentialsError: a variable is missing.
    """
    if environment == "test":
        if "OIDC_TOKEN_FILE" not in variables:
            raise CredentialsError("ENVIRONMENT:test needs the environment variable OIDC_TOKEN_FILE")
        return variables["OIDC_TOKEN_FILE"]
    if environment == "k8s":
        for name in ("AZURE_FEDERATED_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
            if name in variables:
                return variables[name]
        return _SERVICE_ACCOUNT_TOKEN
    return None


def metadata_request(environment: str, resource: str, username: str | None) -> MetadataRequest:
    """What to ask the metadata service of a cloud.

    :param environment: ``azure`` or ``gcp``.
    :param resource: ``TOKEN_RESOURCE``.
    """
    encoded = quote(resource, safe="")
    if environment == "azure":
        client = "" if username is None else f"&client_id={quote(username, safe='')}"
        target = f"{_AZURE_PATH}?api-version=2018-02-01&resource={encoded}{client}"
        return MetadataRequest(_AZURE_HOST, target, {"Accept": "application/json", "Metadata": "true"})
    return MetadataRequest(_GCP_HOST, f"{_GCP_PATH}?audience={encoded}", {"Metadata-Flavor": "Google"})


def read_metadata(environment: str, status: int, body: bytes) -> str:
    """The access token in the answer of a metadata service.

    :raises CredentialsError: there is none. If the service refused, its answer is in the message, as the specification
        asks.
    """
    service = f"ENVIRONMENT:{environment}: the metadata service"
    if status != 200:
        raise CredentialsError(f"{service} answered with status {status}: {body.decode(errors='replace')}")
    if environment == "gcp":
        return read_token_text(service, body)
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise CredentialsError(f"{service} answered without an access_token")
    return token


def read_token_text(source: str, content: bytes) -> str:
    """The access token that is the whole content of a file, or of an answer.

    :param source: where it is from, for the message.
    :raises CredentialsError: there is none.
    """
    try:
        token = content.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token:
        raise CredentialsError(f"{source} holds no access token")
    return token
