//! The options that `ldclient.config.Config` made, as settings of a client. `Config` has checked types and ranges; what
//! only the core can check (certificates, addresses, proxies) is checked here, and raises `ValueError`.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};

use super::{big_segments, stores};
use crate::client::{BigSegments, Settings, diagnostic_platform};
use crate::events::{self, Diagnostics};
use crate::model::Value;
use crate::source::Plan;
use crate::transport::{self, Environment};

/// The version of this crate, which is the package's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Options<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Options<'_, 'py> {
    fn get(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.0
            .get_item(name)?
            .ok_or_else(|| PyKeyError::new_err(name.to_owned()))
    }

    fn text(&self, name: &str) -> PyResult<String> {
        self.get(name)?.extract()
    }

    fn optional_text(&self, name: &str) -> PyResult<Option<String>> {
        Ok(self
            .get(name)?
            .extract::<Option<String>>()?
            .filter(|text| !text.is_empty()))
    }

    fn flag(&self, name: &str) -> PyResult<bool> {
        self.get(name)?.is_truthy()
    }

    fn seconds(&self, name: &str) -> PyResult<Duration> {
        let seconds: f64 = self.get(name)?.extract()?;
        Duration::try_from_secs_f64(seconds).map_err(|_| {
            PyValueError::new_err(format!(
                "{name} must be a positive number of seconds, not {seconds}"
            ))
        })
    }

    fn count(&self, name: &str) -> PyResult<usize> {
        self.get(name)?.extract()
    }
}

/// Reads and checks the options.
pub fn read(options: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let options = Options(options);
    let offline = options.flag("offline")?;
    let transport = transport(&options)?;
    let mut settings = Settings {
        sdk_key: options.text("sdk_key")?,
        offline,
        plan: None,
        own_source: None,
        store: None,
        transport,
        events: None,
        big_segments: None,
    };
    if offline {
        return Ok(settings);
    }
    let py = options.0.py();
    // It may read files.
    py.detach(|| settings.transport.check())
        .map_err(PyValueError::new_err)?;
    settings.plan = plan(&options)?;
    // Only a number is one: True stands for a source that needs nothing of the client.
    let own_source = options.get("own_source")?;
    if let Ok(number) = own_source.cast_exact::<PyInt>() {
        settings.own_source = Some(number.extract()?);
    }
    settings.store = stores::settings(
        &options.get("store")?,
        !options.flag("own_source")? && options.flag("use_ldd")?,
    )?;
    settings.big_segments = big_segments(&options)?;
    if options.flag("send_events")? {
        settings.events = Some(events(&options)?);
    }
    let addresses = settings
        .plan
        .as_ref()
        .and_then(Plan::uri)
        .into_iter()
        .chain(settings.events.as_ref().map(|e| &*e.uri));
    for address in addresses {
        settings
            .transport
            .check_url(address)
            .map_err(PyValueError::new_err)?;
    }
    Ok(settings)
}

fn big_segments(options: &Options<'_, '_>) -> PyResult<Option<BigSegments>> {
    let given = options.get("big_segments")?;
    let Ok(given) = given.cast::<PyDict>() else {
        return Ok(None);
    };
    let given = Options(given);
    Ok(Some(BigSegments {
        store: big_segments::store(&given.get("store")?)?,
        watcher: big_segments::watcher(&given.get("status_provider")?),
        cache_size: given.count("context_cache_size")?,
        cache_time: given.seconds("context_cache_time")?,
        poll_interval: given.seconds("status_poll_interval")?,
        stale_after: given.seconds("stale_after")?,
    }))
}

fn plan(options: &Options<'_, '_>) -> PyResult<Option<Plan>> {
    if options.flag("use_ldd")? || options.flag("own_source")? {
        return Ok(None);
    }
    let files = options.get("files")?;
    if let Ok(files) = files.cast::<PyDict>() {
        let files = Options(files);
        return Ok(Some(Plan::Files {
            paths: files.get("paths")?.extract::<Vec<PathBuf>>()?,
            auto_update: files.flag("auto_update")?,
            interval: files.seconds("poll_interval")?,
        }));
    }
    let filter = options.optional_text("payload_filter_key")?;
    Ok(Some(if options.flag("stream")? {
        let initial_reconnect_delay = options.seconds("initial_reconnect_delay")?;
        Plan::Stream {
            uri: options.text("stream_uri")?,
            filter,
            initial_reconnect_delay,
        }
    } else {
        Plan::Poll {
            uri: options.text("base_uri")?,
            filter,
            interval: options.seconds("poll_interval")?,
        }
    }))
}

fn transport(options: &Options<'_, '_>) -> PyResult<transport::Options> {
    let mut headers = vec![
        ("Authorization".to_owned(), options.text("sdk_key")?),
        ("User-Agent".to_owned(), format!("PythonClient/{VERSION}")),
        (
            "X-LaunchDarkly-Instance-Id".to_owned(),
            options.text("instance_id")?,
        ),
    ];
    let tags: Vec<String> = [
        ("application-id", "application_id"),
        ("application-version", "application_version"),
    ]
    .into_iter()
    .filter_map(|(tag, name)| {
        options
            .optional_text(name)
            .transpose()
            .map(|value| value.map(|value| format!("{tag}/{value}")))
    })
    .collect::<PyResult<_>>()?;
    if !tags.is_empty() {
        headers.push(("X-LaunchDarkly-Tags".to_owned(), tags.join(" ")));
    }
    if let Some(name) = options.optional_text("wrapper_name")? {
        let version = options
            .optional_text("wrapper_version")?
            .map_or_else(String::new, |version| format!("/{version}"));
        headers.push((
            "X-LaunchDarkly-Wrapper".to_owned(),
            format!("{name}{version}"),
        ));
    }
    Ok(transport::Options {
        connect_timeout: options.seconds("connect_timeout")?,
        read_timeout: options.seconds("read_timeout")?,
        proxy: options.optional_text("http_proxy")?,
        ca_certs: options.optional_text("ca_certs")?.map(PathBuf::from),
        cert_file: options.optional_text("cert_file")?.map(PathBuf::from),
        verify: !options.flag("disable_ssl_verification")?,
        headers,
        environment: Environment::read(),
        ..transport::Options::default()
    })
}

fn events(options: &Options<'_, '_>) -> PyResult<events::Settings> {
    let diagnostics = if options.flag("diagnostic_opt_out")? {
        None
    } else {
        Some(diagnostics(options)?)
    };
    Ok(events::Settings {
        enabled: true,
        uri: options.text("events_uri")?,
        capacity: options.count("events_max_pending")?,
        flush_interval: options.seconds("flush_interval")?,
        context_keys_capacity: options.count("context_keys_capacity")?,
        context_keys_flush_interval: options.seconds("context_keys_flush_interval")?,
        all_attributes_private: options.flag("all_attributes_private")?,
        private_attributes: options.get("private_attributes")?.extract()?,
        public_attributes: options.get("public_attributes")?.extract()?,
        omit_anonymous: options.flag("omit_anonymous_contexts")?,
        gzip: options.flag("enable_event_compression")?,
        diagnostics,
        diagnostic_interval: options.seconds("diagnostic_recording_interval")?,
        ..events::Settings::default()
    })
}

/// What the diagnostic events tell of the configuration, as launchdarkly-server-sdk 9.20 has it.
fn diagnostics(options: &Options<'_, '_>) -> PyResult<Diagnostics> {
    let custom = |name: &str, usual: &str| options.text(name).map(|uri| Value::Bool(uri != usual));
    let millis = |name: &str| -> PyResult<Value> {
        Ok(Value::Int(
            i64::try_from(options.seconds(name)?.as_millis()).unwrap_or(i64::MAX),
        ))
    };
    let count = |name: &str| -> PyResult<Value> {
        Ok(Value::Int(
            i64::try_from(options.count(name)?).unwrap_or(i64::MAX),
        ))
    };
    let configuration = [
        (
            "customBaseURI",
            custom("base_uri", "https://app.launchdarkly.com")?,
        ),
        (
            "customEventsURI",
            custom("events_uri", "https://events.launchdarkly.com")?,
        ),
        (
            "customStreamURI",
            custom("stream_uri", "https://stream.launchdarkly.com")?,
        ),
        ("eventsCapacity", count("events_max_pending")?),
        ("connectTimeoutMillis", millis("connect_timeout")?),
        ("socketTimeoutMillis", millis("read_timeout")?),
        ("eventsFlushIntervalMillis", millis("flush_interval")?),
        (
            "usingProxy",
            Value::Bool(options.optional_text("http_proxy")?.is_some()),
        ),
        ("streamingDisabled", Value::Bool(!options.flag("stream")?)),
        ("usingRelayDaemon", Value::Bool(options.flag("use_ldd")?)),
        (
            "allAttributesPrivate",
            Value::Bool(options.flag("all_attributes_private")?),
        ),
        ("pollingIntervalMillis", millis("poll_interval")?),
        ("userKeysCapacity", count("context_keys_capacity")?),
        (
            "userKeysFlushIntervalMillis",
            millis("context_keys_flush_interval")?,
        ),
        (
            "diagnosticRecordingIntervalMillis",
            millis("diagnostic_recording_interval")?,
        ),
        (
            "dataStoreType",
            Value::from(&*options.text("data_store_type")?),
        ),
    ];
    let py = options.0.py();
    let platform =
        |name: &str| -> PyResult<String> { py.import("platform")?.call_method0(name)?.extract() };
    let key = options.text("sdk_key")?;
    let suffix = key
        .char_indices()
        .rev()
        .nth(5)
        .map_or(&*key, |(at, _)| &key[at..]);
    Ok(Diagnostics {
        sdk_name: "python-server-sdk".to_owned(),
        sdk_version: VERSION.to_owned(),
        wrapper_name: options.optional_text("wrapper_name")?,
        wrapper_version: options.optional_text("wrapper_version")?,
        configuration: Value::Object(
            configuration
                .map(|(name, value)| (name.into(), value))
                .into(),
        ),
        platform: diagnostic_platform(
            &platform("python_version")?,
            &platform("python_implementation")?,
            &platform("release")?,
        ),
        sdk_key_suffix: suffix.to_owned(),
    })
}
