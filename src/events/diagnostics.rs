//! Diagnostic events: what the SDK tells the service about itself. When they are sent is the flusher's question.

use serde::Serialize;

use super::recorder::Facts;
use super::sampling::random_id;
use crate::model::Value;

/// What the client knows of itself. Nothing in it identifies an end user.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// `python-server-sdk`.
    pub sdk_name: String,
    /// The package's version.
    pub sdk_version: String,
    /// The wrapper around this SDK.
    pub wrapper_name: Option<String>,
    /// Its version.
    pub wrapper_version: Option<String>,
    /// The object `configuration` as the service wants it.
    pub configuration: Value,
    /// The object `platform` as the service wants it.
    pub platform: Value,
    /// The last six characters of the SDK key, by which the service tells environments apart.
    pub sdk_key_suffix: String,
}

/// One attempt to connect to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamInit {
    pub(super) timestamp: i64,
    pub(super) duration_millis: i64,
    pub(super) failed: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Id<'a> {
    diagnostic_id: &'a str,
    sdk_key_suffix: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sdk<'a> {
    name: &'a str,
    version: &'a str,
    wrapper_name: Option<&'a str>,
    wrapper_version: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Init<'a> {
    kind: &'static str,
    creation_date: i64,
    id: Id<'a>,
    configuration: &'a Value,
    sdk: Sdk<'a>,
    platform: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Periodic<'a> {
    kind: &'static str,
    creation_date: i64,
    id: Id<'a>,
    data_since_date: i64,
    dropped_events: u64,
    deduplicated_users: u64,
    events_in_last_batch: u64,
    stream_inits: &'a [StreamInit],
}

/// Makes the diagnostic events of one runtime.
#[derive(Debug)]
pub(super) struct Diary {
    about: Diagnostics,
    id: String,
    since_ms: i64,
    dropped_before: u64,
    /// How many events the last flush had; the flusher keeps it.
    pub(super) events_in_last_batch: u64,
}

impl Diary {
    pub(super) fn new(about: Diagnostics, now_ms: i64) -> Diary {
        Diary {
            about,
            id: random_id(),
            since_ms: now_ms,
            dropped_before: 0,
            events_in_last_batch: 0,
        }
    }

    fn id(&self) -> Id<'_> {
        Id {
            diagnostic_id: &self.id,
            sdk_key_suffix: &self.about.sdk_key_suffix,
        }
    }

    /// The first event.
    pub(super) fn init(&self) -> serde_json::Result<Vec<u8>> {
        let about = &self.about;
        serde_json::to_vec(&Init {
            kind: "diagnostic-init",
            creation_date: self.since_ms,
            id: self.id(),
            configuration: &about.configuration,
            sdk: Sdk {
                name: &about.sdk_name,
                version: &about.sdk_version,
                wrapper_name: about.wrapper_name.as_deref(),
                wrapper_version: about.wrapper_version.as_deref(),
            },
            platform: &about.platform,
        })
    }

    /// What happened since the last event.
    pub(super) fn periodic(&mut self, facts: &Facts, now_ms: i64) -> serde_json::Result<Vec<u8>> {
        let body = serde_json::to_vec(&Periodic {
            kind: "diagnostic",
            creation_date: now_ms,
            id: self.id(),
            data_since_date: self.since_ms,
            dropped_events: facts.dropped_ever - self.dropped_before,
            deduplicated_users: facts.deduplicated,
            events_in_last_batch: self.events_in_last_batch,
            stream_inits: &facts.stream_inits,
        });
        self.since_ms = now_ms;
        self.dropped_before = facts.dropped_ever;
        self.events_in_last_batch = 0;
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diary() -> Diary {
        let about = Diagnostics {
            sdk_name: "python-server-sdk".into(),
            sdk_version: "1.2".into(),
            wrapper_name: Some("w".into()),
            configuration: Value::Object([("streamingDisabled".into(), true.into())].into()),
            platform: Value::Object([("name".into(), "python".into())].into()),
            sdk_key_suffix: "abcdef".into(),
            ..Diagnostics::default()
        };
        Diary {
            id: "ID".into(),
            ..Diary::new(about, 1000)
        }
    }

    #[test]
    fn the_first_event_tells_sdk_configuration_and_platform() {
        assert_eq!(
            String::from_utf8(diary().init().unwrap()).unwrap(),
            concat!(
                r#"{"kind":"diagnostic-init","creationDate":1000,"id":{"diagnosticId":"ID","sdkKeySuffix":"abcdef"},"#,
                r#""configuration":{"streamingDisabled":true},"#,
                r#""sdk":{"name":"python-server-sdk","version":"1.2","wrapperName":"w","wrapperVersion":null},"#,
                r#""platform":{"name":"python"}}"#
            )
        );
    }

    #[test]
    fn later_events_tell_what_happened_since_the_one_before() {
        let mut diary = diary();
        diary.events_in_last_batch = 7;
        let facts = Facts {
            deduplicated: 5,
            dropped_ever: 3,
            stream_inits: vec![StreamInit {
                timestamp: 1100,
                duration_millis: 20,
                failed: true,
            }],
        };
        assert_eq!(
            String::from_utf8(diary.periodic(&facts, 2000).unwrap()).unwrap(),
            concat!(
                r#"{"kind":"diagnostic","creationDate":2000,"id":{"diagnosticId":"ID","sdkKeySuffix":"abcdef"},"#,
                r#""dataSinceDate":1000,"droppedEvents":3,"deduplicatedUsers":5,"eventsInLastBatch":7,"#,
                r#""streamInits":[{"timestamp":1100,"durationMillis":20,"failed":true}]}"#
            )
        );
        let facts = Facts {
            dropped_ever: 3,
            ..Facts::default()
        };
        assert!(String::from_utf8(diary.periodic(&facts, 3000).unwrap()).unwrap().contains(
            r#""dataSinceDate":2000,"droppedEvents":0,"deduplicatedUsers":0,"eventsInLastBatch":0,"streamInits":[]"#
        ));
    }
}
