//! What an event of the stream means. Pure.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::store::{Change, DataError, DataKind, Snapshot};

/// An event, understood.
#[derive(Debug)]
pub(super) enum Message {
    /// All data.
    Full(Change),
    /// One item, new, changed or gone.
    One(Change),
    /// Nothing we know; says what, for the log.
    Unknown(String),
}

#[derive(Deserialize)]
struct Patch<'a> {
    path: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Delete {
    path: String,
    version: i64,
}

/// Reads an event. `known` is asked for the snapshot that all data is compared with.
pub(super) fn read(
    name: &str,
    data: &[u8],
    known: impl FnOnce() -> Arc<Snapshot>,
) -> Result<Message, DataError> {
    match name {
        "put" => Ok(Message::Full(Change::put_after(&known(), data)?)),
        "patch" => {
            let patch: Patch = serde_json::from_slice(data)?;
            match target(&patch.path) {
                Some((kind, key)) => Ok(Message::One(Change::upsert(kind, key, patch.data.get())?)),
                None => Ok(unknown_path("patch", &patch.path)),
            }
        }
        "delete" => {
            let delete: Delete = serde_json::from_slice(data)?;
            match target(&delete.path) {
                Some((kind, key)) => Ok(Message::One(Change::delete(kind, key, delete.version))),
                None => Ok(unknown_path("delete", &delete.path)),
            }
        }
        other => Ok(Message::Unknown(format!(
            "The stream has an event of the unknown name {other:?}; events of that name are ignored."
        ))),
    }
}

fn target(path: &str) -> Option<(DataKind, &str)> {
    let (kind, key) = match path.strip_prefix("/flags/") {
        Some(key) => (DataKind::Flag, key),
        None => (DataKind::Segment, path.strip_prefix("/segments/")?),
    };
    (!key.is_empty()).then_some((kind, key))
}

fn unknown_path(event: &str, path: &str) -> Message {
    Message::Unknown(format!(
        "The stream has a {event} for the unknown path {path:?}; it is ignored."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Lookup;
    use crate::model::Key;
    use crate::store::{Applied, Entry};

    fn after(snapshot: &Snapshot, name: &str, data: &str) -> Snapshot {
        match read(name, data.as_bytes(), Arc::default) {
            Ok(Message::Full(change) | Message::One(change)) => match snapshot.apply(change) {
                Applied::New(next) => next,
                Applied::Same | Applied::Older => panic!("nothing new"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn put_patch_and_delete_change_the_snapshot() {
        let put = after(
            &Snapshot::empty(),
            "put",
            r#"{"path":"/","data":{"flags":{"a/b c":{"key":"a/b c","version":1}},"segments":{"s":{"key":"s","version":1}}}}"#,
        );
        let patched = after(
            &put,
            "patch",
            r#"{"path":"/flags/a/b c","data":{"key":"a/b c","version":2,"on":true}}"#,
        );
        assert!(matches!(patched.flag_entry("a/b c"), Some(Entry::Live(flag)) if flag.on));
        let deleted = after(&patched, "delete", r#"{"path":"/segments/s","version":2}"#);
        assert!(deleted.segment(&Key::from("s")).is_none());
        assert!(put.segment(&Key::from("s")).is_some());
    }

    #[test]
    fn events_and_paths_nobody_knows_are_told_and_are_no_error() {
        for (name, data, quoted) in [
            ("message", "", "\"message\""),
            (
                "patch",
                r#"{"path":"/layers/x","data":{}}"#,
                "\"/layers/x\"",
            ),
            ("delete", r#"{"path":"/flags/","version":1}"#, "\"/flags/\""),
        ] {
            match read(name, data.as_bytes(), Arc::default) {
                Ok(Message::Unknown(text)) => assert!(text.contains(quoted), "{text}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_event_with_anything_wrong_is_an_error() {
        for (name, data) in [
            ("put", "{"),
            ("put", r#"{"path":"/"}"#),
            ("put", r#"{"path":"/","data":{}}"#),
            ("patch", r#"{"path":"/flags/a"}"#),
            ("patch", r#"{"path":"/flags/a","data":5}"#),
            ("patch", r#"{"path":"/flags/a","data":{"version":1}"#),
            ("patch", r#"{"data":{"version":1}}"#),
            ("delete", r#"{"path":"/flags/a"}"#),
            ("delete", r#"{"path":"/flags/a","version":"1"}"#),
            ("delete", ""),
        ] {
            assert!(
                read(name, data.as_bytes(), Arc::default).is_err(),
                "{name} {data}"
            );
        }
        assert!(read("put", b"\xFF", Arc::default).is_err());
    }
}
