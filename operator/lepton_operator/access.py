"""How to reach the API server: from inside the cluster, or by a kubeconfig; for kopf and for us."""

import os

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

POOL = 16
"""Connections for our own calls; watches have others."""


class NoAccess(Exception):
    """There is neither a kubeconfig nor a pod's service account."""


async def configuration() -> Configuration:
    """Where the API server is and who we are; raises NoAccess.

    KUBECONFIG wins over the pod's service account, which wins over ~/.kube/config.
    """
    found = Configuration(connection_pool_maxsize=POOL)
    # Proxies come from the kubeconfig; looking for ~/.netrc before each request costs a thread.
    found.client_session_kwargs = {"trust_env": False}
    try:
        if not os.environ.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=found)
        else:
            await load_kube_config(client_configuration=found)
    except ConfigException as error:
        raise NoAccess(
            f"no way to the API server: {error}; set KUBECONFIG, or run in a pod with a "
            "service account"
        ) from error
    return found


async def connection() -> kopf.ConnectionInfo:
    """The same for kopf, which asks again when its credentials have expired."""
    found = await configuration()
    header = await found.get_api_key_with_prefix("BearerToken") or ""
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        scheme="Bearer" if header else None,
        token=header.partition(" ")[2] or None,
    )
