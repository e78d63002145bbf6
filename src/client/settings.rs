//! How a client is set up, checked once. Where the values come from is the boundary's question.

use super::BigSegments;
use super::storing::StoreSettings;
use crate::events;
use crate::model::Value;
use crate::source::Plan;
use crate::transport;

/// All that a client is made from. It outlives forks: each process makes its own runtime from it.
pub struct Settings {
    /// The SDK key. Never shown.
    pub sdk_key: String,
    /// Whether the client connects to nothing and answers with defaults.
    pub offline: bool,
    /// Where flags come from; `None` when offline.
    pub plan: Option<Plan>,
    /// The number of the data source that the application brought itself, by which it is begun again in a forked process.
    pub own_source: Option<u64>,
    /// The persistent store; `None` when flags are kept in memory only.
    pub store: Option<StoreSettings>,
    /// How to connect.
    pub transport: transport::Options,
    /// How events are gathered and sent; `None` when there are none.
    pub events: Option<events::Settings>,
    /// How big segments are looked up; `None` when they are not.
    pub big_segments: Option<BigSegments>,
}

/// What the diagnostic events tell of the machine, besides what Python knows.
#[must_use]
pub fn diagnostic_platform(python: &str, implementation: &str, os_version: &str) -> Value {
    let os = match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "MacOS",
        "windows" => "Windows",
        other => other,
    };
    let members = [
        ("name", "python"),
        ("osArch", std::env::consts::ARCH),
        ("osName", os),
        ("osVersion", os_version),
        ("pythonVersion", python),
        ("pythonImplementation", implementation),
    ];
    Value::Object(
        members
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
    )
}
