"""From the harness's configuration of a client to the arguments of :class:`ldclient.LDClient`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from callbacks import CallbackHook, CallbackStore

from ldclient.config import BigSegmentsConfig, Config, HTTPConfig
from ldclient.feature_store import CacheConfig
from ldclient.integrations import Consul, DynamoDB, Redis

__all__ = ["config_of", "start_wait_of"]

_Json = Mapping[str, Any]

# The harness makes its table under this name.
_TABLE = "sdk-contract-tests"


def start_wait_of(configuration: _Json) -> float:
    """Returns how many seconds the client may take to get its flags."""
    return (configuration.get("startWaitTimeMs") or 5000) / 1000


def config_of(configuration: _Json) -> Config:
    """Returns the options that the harness asks for. What it leaves out has the package's default."""
    options: dict[str, Any] = {"sdk_key": configuration["credential"]}
    for of in (_endpoints, _source, _events, _http, _big_segments, _store):
        options.update(of(configuration))
    if tags := configuration.get("tags"):
        options["application"] = {
            "id": tags.get("applicationId") or "",
            "version": tags.get("applicationVersion") or "",
        }
    if wrapper := configuration.get("wrapper"):
        options["wrapper_name"] = wrapper.get("name")
        options["wrapper_version"] = wrapper.get("version")
    if hooks := configuration.get("hooks"):
        options["hooks"] = [CallbackHook(hook) for hook in hooks["hooks"]]
    return Config(**options)


def _endpoints(configuration: _Json) -> dict[str, Any]:
    given = configuration.get("serviceEndpoints") or {}
    names = {"streaming": "stream_uri", "polling": "base_uri", "events": "events_uri"}
    return {option: given[name] for name, option in names.items() if given.get(name)}


def _source(configuration: _Json) -> dict[str, Any]:
    streaming, polling = configuration.get("streaming"), configuration.get("polling")
    if streaming is None and polling is None:
        # Only a store is left to read from. Without one, the defaults say where the flags come from.
        return {"use_ldd": True} if configuration.get("persistentDataStore") else {}
    options: dict[str, Any] = {"stream": streaming is not None}
    chosen: _Json = streaming if streaming is not None else polling or {}
    if chosen.get("baseUri"):
        options["stream_uri" if streaming is not None else "base_uri"] = chosen["baseUri"]
    if streaming is not None and polling is not None and polling.get("baseUri"):
        options["base_uri"] = polling["baseUri"]
    if chosen.get("initialRetryDelayMs") is not None:
        options["initial_reconnect_delay"] = chosen["initialRetryDelayMs"] / 1000
    if chosen.get("pollIntervalMs") is not None:
        options["poll_interval"] = chosen["pollIntervalMs"] / 1000
    if chosen.get("filter") is not None:
        options["payload_filter_key"] = chosen["filter"]
    return options


def _events(configuration: _Json) -> dict[str, Any]:
    events = configuration.get("events")
    if events is None:
        return {"send_events": False}
    options: dict[str, Any] = {
        "diagnostic_opt_out": not events.get("enableDiagnostics", False),
        "all_attributes_private": events.get("allAttributesPrivate", False),
        "private_attributes": events.get("globalPrivateAttributes") or [],
        "omit_anonymous_contexts": events.get("omitAnonymousContexts", False),
    }
    if events.get("baseUri"):
        options["events_uri"] = events["baseUri"]
    if events.get("capacity") is not None:
        options["events_max_pending"] = events["capacity"]
    if events.get("flushIntervalMs") is not None:
        options["flush_interval"] = events["flushIntervalMs"] / 1000
    if events.get("enableGzip") is not None:
        options["enable_event_compression"] = events["enableGzip"]
    return options


def _http(configuration: _Json) -> dict[str, Any]:
    tls, proxy = configuration.get("tls") or {}, configuration.get("proxy") or {}
    if not tls and not proxy:
        return {}
    return {
        "http": HTTPConfig(
            http_proxy=proxy.get("httpProxy"),
            ca_certs=tls.get("customCAFile") or None,
            disable_ssl_verification=tls.get("skipVerifyPeer", False),
        )
    }


def _big_segments(configuration: _Json) -> dict[str, Any]:
    given = configuration.get("bigSegments")
    if given is None:
        return {}
    options: dict[str, Any] = {"store": CallbackStore(given["callbackUri"])}
    if given.get("userCacheSize") is not None:
        options["context_cache_size"] = given["userCacheSize"]
    for name, option in (
        ("userCacheTimeMs", "context_cache_time"),
        ("statusPollIntervalMs", "status_poll_interval"),
        ("staleAfterMs", "stale_after"),
    ):
        if given.get(name) is not None:
            options[option] = given[name] / 1000
    return {"big_segments": BigSegmentsConfig(**options)}


def _store(configuration: _Json) -> dict[str, Any]:
    given = configuration.get("persistentDataStore")
    if given is None:
        return {}
    store, caching = given["store"], _caching(given["cache"])
    kind, dsn, prefix = store["type"], store["dsn"], store.get("prefix")
    if kind == "redis":
        return {"feature_store": Redis.new_feature_store(url=dsn, prefix=prefix or "launchdarkly", caching=caching)}
    if kind == "dynamodb":
        options = {
            "endpoint_url": dsn,
            "region_name": "us-east-1",
            "aws_access_key_id": "dummy",
            "aws_secret_access_key": "dummy",
        }
        return {"feature_store": DynamoDB.new_feature_store(_TABLE, prefix, options, caching)}
    if kind == "consul":
        host, _, port = dsn.partition(":")
        return {
            "feature_store": Consul.new_feature_store(
                host=host, port=int(port) if port else None, prefix=prefix, caching=caching
            )
        }
    raise ValueError(f"persistentDataStore: there is no store of the type {kind!r}")


def _caching(cache: _Json) -> CacheConfig:
    if cache["mode"] == "off":
        return CacheConfig.disabled()
    if cache["mode"] == "ttl":
        return CacheConfig(expiration=cache["ttl"])
    return CacheConfig(expiration=sys.maxsize)
