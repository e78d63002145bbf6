//! What a source delivers: all data, or one item. Read and compiled before it touches a snapshot.
//! An item with a field of the wrong type is malformed alone; text that is not the expected JSON is refused whole.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::dependents::Touched;
use super::difference::Difference;
use super::fingerprint::Fingerprint;
use super::payload::{Member, Members, Payload};
use super::persistent::Texts;
use super::snapshot::Snapshot;
use super::table::{Entry, Item};
use crate::model::{Flag, RawFlag, RawSegment, Segment, Value, invalid_patterns};

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// A flag.
    Flag,
    /// A segment.
    Segment,
}

/// A step from one snapshot to the next.
#[derive(Debug)]
pub struct Change {
    pub(super) what: What,
    /// What is worth a warning, in words for the log; the change can be applied all the same.
    pub remarks: Vec<String>,
    /// What arrived, for a store that it is written to. Whole data has it only where it was asked for.
    pub original: Option<Original>,
}

#[derive(Debug)]
pub(super) enum What {
    /// All data, told by how it differs from what was known when it was read.
    Full {
        known: Arc<Snapshot>,
        flags: Difference<Flag>,
        segments: Difference<Segment>,
    },
    Flag(Item<Flag>),
    Segment(Item<Segment>),
}

/// Why data was refused whole. Its text says where in the data, never what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError(pub String);

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DataError {}

impl From<serde_json::Error> for DataError {
    fn from(error: serde_json::Error) -> DataError {
        DataError(describe(&error))
    }
}

impl Change {
    /// All data as polling and files have it: `{"flags": {…}, "segments": {…}}`.
    ///
    /// # Errors
    /// When the text is not JSON of that form.
    pub fn full(json: &[u8]) -> Result<Change, DataError> {
        Change::full_after(&Arc::default(), json)
    }

    /// The same, read by someone who knows a snapshot already: items whose texts are those of known items are not read
    /// again. The change can be applied to any other snapshot all the same.
    ///
    /// # Errors
    /// When the text is not JSON of that form.
    pub fn full_after(known: &Arc<Snapshot>, json: &[u8]) -> Result<Change, DataError> {
        Change::from_payload(known, Payload::read(json)?)
    }

    /// All data as a stream's `put` has it: the above under `data`.
    ///
    /// # Errors
    /// When the text is not JSON of that form.
    pub fn put(json: &[u8]) -> Result<Change, DataError> {
        Change::put_after(&Arc::default(), json)
    }

    /// The same as [`Change::full_after`] for a stream's `put`.
    ///
    /// # Errors
    /// When the text is not JSON of that form.
    pub fn put_after(known: &Arc<Snapshot>, json: &[u8]) -> Result<Change, DataError> {
        Change::from_payload(known, Payload::read_wrapped(json)?)
    }

    /// One item, new or changed.
    ///
    /// # Errors
    /// When the text is no JSON object.
    pub fn upsert(kind: DataKind, key: &str, json: &str) -> Result<Change, DataError> {
        let raw: &RawValue = serde_json::from_str(json)?;
        if !raw.get().starts_with('{') {
            return Err(DataError("an item must be a JSON object".to_owned()));
        }
        let mut remarks = Vec::new();
        let what = match kind {
            DataKind::Flag => What::Flag(read_flag(key, raw.get(), &mut remarks)),
            DataKind::Segment => What::Segment(read_segment(key, raw.get(), &mut remarks)),
        };
        let original = Some(Original::Item {
            kind,
            key: key.into(),
            version: what.version(),
            text: json.into(),
        });
        Ok(Change {
            what,
            remarks,
            original,
        })
    }

    /// Whole data, together with the text it was read from: what [`Change::full`] or [`Change::put`] reads.
    #[must_use]
    pub fn with_text(self, json: &[u8]) -> Change {
        Change {
            original: Some(Original::Whole(json.into())),
            ..self
        }
    }

    /// All data that a store holds, item by item, read by someone who knows a snapshot already. A text that is not even
    /// JSON harms its own item alone.
    #[must_use]
    pub fn of_texts(known: &Arc<Snapshot>, flags: &Texts, segments: &Texts) -> Change {
        Change::after(known, flags, segments)
    }

    /// Whether it is all data.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.what, What::Full { .. })
    }

    /// One item gone.
    #[must_use]
    pub fn delete(kind: DataKind, key: &str, version: i64) -> Change {
        let original = Some(Original::Item {
            kind,
            key: key.into(),
            version,
            text: tombstone(key, version).into(),
        });
        let key = key.into();
        let what = match kind {
            DataKind::Flag => What::Flag(Item {
                key,
                entry: Entry::Deleted { version },
                text: None,
            }),
            DataKind::Segment => What::Segment(Item {
                key,
                entry: Entry::Deleted { version },
                text: None,
            }),
        };
        Change {
            what,
            remarks: Vec::new(),
            original,
        }
    }

    /// What it may change.
    #[must_use]
    pub fn touched(&self) -> Touched {
        match &self.what {
            What::Full { .. } => Touched::Any,
            What::Flag(item) => Touched::One(DataKind::Flag, item.key.clone()),
            What::Segment(item) => Touched::One(DataKind::Segment, item.key.clone()),
        }
    }

    fn from_payload(known: &Arc<Snapshot>, payload: Payload<'_>) -> Result<Change, DataError> {
        if payload.is_none() {
            return Err(DataError(
                "there are neither \"flags\" nor \"segments\" in the data".to_owned(),
            ));
        }
        let flags = payload.flags.unwrap_or_default();
        let segments = payload.segments.unwrap_or_default();
        Ok(Change::after(known, &flags.0, &segments.0))
    }

    fn after<M: Member>(known: &Arc<Snapshot>, flags: &[M], segments: &[M]) -> Change {
        let mut remarks = Vec::new();
        let flags = Difference::between(known.flag_table(), flags, &mut remarks);
        let segments = Difference::between(known.segment_table(), segments, &mut remarks);
        Change {
            what: What::Full {
                known: Arc::clone(known),
                flags,
                segments,
            },
            remarks,
            original: None,
        }
    }
}

/// What arrived, as it arrived.
#[derive(Clone, Debug)]
pub enum Original {
    /// The text of all data.
    Whole(Box<[u8]>),
    /// An item, or the mark of its deletion.
    Item {
        /// What it is.
        kind: DataKind,
        /// Its key.
        key: Box<str>,
        /// Its version.
        version: i64,
        /// Its text.
        text: Box<str>,
    },
}

impl Original {
    /// The flags and segments of whole data, each as it stands in the text.
    #[must_use]
    pub fn items(json: &[u8]) -> Option<(Texts, Texts)> {
        let payload = Payload::read(json).ok().filter(|data| !data.is_none());
        let payload = payload.or_else(|| Payload::read_wrapped(json).ok())?;
        let texts = |members: Option<Members<'_>>| {
            let members = members.into_iter().flat_map(|members| members.0);
            members
                .map(|(name, raw)| (name.0.into(), raw.get().into()))
                .collect::<Texts>()
        };
        Some((texts(payload.flags), texts(payload.segments)))
    }
}

/// What stands for a deleted item in a store, as launchdarkly-server-sdk 9.20 writes it.
#[must_use]
pub fn tombstone(key: &str, version: i64) -> String {
    let key = serde_json::to_string(key).unwrap_or_default();
    format!("{{\"key\": {key}, \"version\": {version}, \"deleted\": true}}")
}

/// Reads the text of one flag, whatever it is.
#[must_use]
pub fn read_flag(key: &str, json: &str, remarks: &mut Vec<String>) -> Item<Flag> {
    item(key, json, Fingerprint::of(json), remarks)
}

/// Reads the text of one segment, whatever it is.
#[must_use]
pub fn read_segment(key: &str, json: &str, remarks: &mut Vec<String>) -> Item<Segment> {
    item(key, json, Fingerprint::of(json), remarks)
}

fn malformed(kind: &str, key: &str, error: &str) -> String {
    format!(
        "The data of {kind} \"{key}\" is malformed: {error}. It is served as an error until it is mended; nothing else is affected."
    )
}

impl What {
    fn version(&self) -> i64 {
        match self {
            What::Full { .. } => 0,
            What::Flag(item) => item.entry.version_or(|flag| flag.version),
            What::Segment(item) => item.entry.version_or(|segment| segment.version),
        }
    }
}

/// Reads an item from its text, whose fingerprint is known.
pub(super) fn item<T: Compiled>(
    key: &str,
    json: &str,
    text: Fingerprint,
    remarks: &mut Vec<String>,
) -> Item<T> {
    let entry = entry(key, json);
    match &entry {
        Entry::Live(compiled) => T::remarks(compiled, key, remarks),
        Entry::Malformed { error, .. } => remarks.push(malformed(T::NAME, key, error)),
        Entry::Deleted { .. } => {}
    }
    Item {
        key: key.into(),
        entry,
        text: Some(text),
    }
}

fn entry<T: Compiled>(key: &str, json: &str) -> Entry<T> {
    match serde_json::from_str::<T::Raw>(json) {
        Ok(raw) => T::entry(raw, key),
        Err(error) => {
            let whole: Value = serde_json::from_str(json).unwrap_or_default();
            let version = match whole.member("version") {
                Some(Value::Int(version)) => *version,
                _ => 0,
            };
            // Of the mark of a deletion nothing else is read.
            if whole.member("deleted") == Some(&Value::Bool(true)) {
                return Entry::Deleted { version };
            }
            Entry::Malformed {
                version,
                error: describe(&error).into(),
            }
        }
    }
}

/// What the two kinds of item have in common.
pub(super) trait Compiled: Sized {
    type Raw: DeserializeOwned;
    const NAME: &'static str;
    fn entry(raw: Self::Raw, key: &str) -> Entry<Self>;
    fn remarks(&self, key: &str, remarks: &mut Vec<String>);
}

impl Compiled for Flag {
    type Raw = RawFlag;
    const NAME: &'static str = "flag";

    fn entry(raw: RawFlag, key: &str) -> Entry<Flag> {
        match raw.tombstone() {
            Some(version) => Entry::Deleted { version },
            None => Entry::Live(raw.compile(key)),
        }
    }

    fn remarks(&self, key: &str, remarks: &mut Vec<String>) {
        for pattern in invalid_patterns(self.rules.iter().flat_map(|rule| &rule.clauses)) {
            remarks.push(remark_on_pattern(Self::NAME, key, pattern));
        }
    }
}

impl Compiled for Segment {
    type Raw = RawSegment;
    const NAME: &'static str = "segment";

    fn entry(raw: RawSegment, key: &str) -> Entry<Segment> {
        match raw.tombstone() {
            Some(version) => Entry::Deleted { version },
            None => Entry::Live(raw.compile(key)),
        }
    }

    fn remarks(&self, key: &str, remarks: &mut Vec<String>) {
        for pattern in invalid_patterns(self.rules.iter().flat_map(|rule| &rule.clauses)) {
            remarks.push(remark_on_pattern(Self::NAME, key, pattern));
        }
    }
}

fn remark_on_pattern(kind: &str, key: &str, pattern: &str) -> String {
    format!(
        "A rule of {kind} \"{key}\" has the regular expression {pattern:?}, which cannot be read. It never matches."
    )
}

/// The parser's message may quote a value of the data, which could be anything: only types and places are told.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((found, expected)) => {
            let found = found
                .split(['"', '`'])
                .next()
                .unwrap_or_default()
                .trim_end();
            format!("{found}, expected {expected}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(json: &str) -> (Vec<Item<Flag>>, Vec<String>) {
        let change = Change::full(json.as_bytes()).unwrap();
        match change.what {
            What::Full { flags, .. } => (flags.items, change.remarks),
            _ => unreachable!(),
        }
    }

    #[test]
    fn one_malformed_flag_among_good_ones_is_kept_as_its_own_error() {
        let (flags, remarks) = full(
            r#"{"flags":{"good":{"key":"good","version":1,"on":true},"bad":{"key":"bad","version":7,"on":"a secret"}}}"#,
        );
        assert!(matches!(&flags[0].entry, Entry::Live(flag) if flag.on));
        assert!(matches!(
            &flags[1].entry,
            Entry::Malformed { version: 7, .. }
        ));
        assert_eq!(remarks.len(), 1);
        assert!(
            remarks[0].contains("\"bad\"") && remarks[0].contains("expected a boolean"),
            "{}",
            remarks[0]
        );
        assert!(!remarks[0].contains("secret"), "{}", remarks[0]);
    }

    #[test]
    fn what_stands_in_the_data_is_never_told() {
        for value in [
            "secret",
            "x, expected secret",
            "`secret",
            "\\\"secret, expected \\\"secret",
        ] {
            let (_, remarks) = full(&format!(
                r#"{{"flags":{{"f":{{"version":1,"on":"{value}"}}}}}}"#
            ));
            assert!(!remarks[0].contains("secret"), "{}", remarks[0]);
            assert!(remarks[0].contains("expected a boolean"), "{}", remarks[0]);
        }
    }

    #[test]
    fn text_that_is_no_data_is_refused_with_its_place() {
        for json in [
            "",
            "[]",
            "{}",
            "{\"flags\":",
            "{\"flags\":[]}",
            "null",
            "{\"flags\":{\"a\":}}",
        ] {
            assert!(Change::full(json.as_bytes()).is_err(), "{json}");
            assert!(Change::put(json.as_bytes()).is_err(), "{json}");
        }
        let error = Change::full(b"{\"flags\":{\"a\":}}").unwrap_err();
        assert!(error.0.contains("line 1 column"), "{error}");
    }

    #[test]
    fn an_unreadable_pattern_is_remarked_on_and_harms_nothing_else() {
        let (flags, remarks) = full(
            r#"{"flags":{"f":{"version":1,"rules":[{"clauses":[{"attribute":"name","op":"matches","values":["(","a"]}]}]}}}"#,
        );
        assert!(matches!(&flags[0].entry, Entry::Live(flag) if *flag.key == *"f"));
        assert!(remarks[0].contains("\"(\""), "{remarks:?}");
    }

    #[test]
    fn nulls_are_as_good_as_nothing() {
        let (flags, remarks) = full(
            r#"{"flags":{"f":{"version":1,"on":null,"rules":null,"salt":null,"fallthrough":null,"debugEventsUntilDate":null}},"segments":null}"#,
        );
        assert!(matches!(&flags[0].entry, Entry::Live(_)));
        assert!(remarks.is_empty());
    }
}
