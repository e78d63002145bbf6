//! The JSON form of events, schema 4 as launchdarkly-server-sdk 9.20 sends it, and their payloads.
//! What may be told of a context is the redaction's question, what becomes of a payload the sender's.
//!
//! An event that has no JSON form costs only itself. A payload ends at 10,000 events or before it would exceed 4 MiB
//! (uncompressed); a single event beyond that goes alone.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::event::{Evaluation, Event, What};
use super::redaction::{Gate, Shallow};
use super::summary::{MergedCounter, MergedFlag, Summary};
use crate::model::{Context, Value};

const MOST_BYTES: usize = 4 * 1024 * 1024;
const MOST_EVENTS: u64 = 10_000;

/// A body that can be posted.
#[derive(Debug)]
pub(super) struct Payload {
    /// A JSON array.
    pub(super) body: Vec<u8>,
    /// How many events it has.
    pub(super) events: u64,
}

/// Gathers events into payloads.
#[derive(Debug)]
pub(super) struct Packer {
    open: Payload,
    most_bytes: usize,
    most_events: u64,
}

impl Packer {
    pub(super) fn new() -> Packer {
        Packer::with_limits(MOST_BYTES, MOST_EVENTS)
    }

    fn with_limits(most_bytes: usize, most_events: u64) -> Packer {
        Packer {
            open: Payload {
                body: Vec::new(),
                events: 0,
            },
            most_bytes,
            most_events,
        }
    }

    /// Adds an event; returns the payload that is full now.
    ///
    /// # Errors
    /// When it has no JSON form; nothing was added then.
    pub(super) fn add(
        &mut self,
        event: &impl Serialize,
    ) -> Result<Option<Payload>, serde_json::Error> {
        self.add_written(|body| serde_json::to_writer(body, event))
    }

    /// Adds what `write` appends as one event; returns the payload that is full now.
    ///
    /// # Errors
    /// When `write` fails; nothing was added then.
    pub(super) fn add_written(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>,
    ) -> Result<Option<Payload>, serde_json::Error> {
        let Payload { body, events } = &mut self.open;
        let start = body.len();
        body.push(if *events == 0 { b'[' } else { b',' });
        if let Err(error) = write(body) {
            body.truncate(start);
            return Err(error);
        }
        if *events > 0 && (body.len() >= self.most_bytes || *events >= self.most_events) {
            let mut next = vec![b'['];
            next.extend_from_slice(&body[start + 1..]);
            body.truncate(start);
            let full = std::mem::replace(
                &mut self.open,
                Payload {
                    body: next,
                    events: 1,
                },
            );
            return Ok(full.closed());
        }
        *events += 1;
        Ok(None)
    }

    /// The last payload, if there is something in it.
    pub(super) fn finish(self) -> Option<Payload> {
        self.open.closed()
    }
}

impl Payload {
    fn closed(mut self) -> Option<Payload> {
        self.body.push(b']');
        (self.events > 0).then_some(self)
    }
}

/// How many written contexts are kept during a flush.
const KEPT: usize = 64;

/// Writes the events of one flush. What may be told of a context is written once for events that stand near each other.
pub(super) struct Writer<'a> {
    gate: &'a Gate,
    /// Each at the place that its address gives. The contexts of all events of a flush are alive when it begins, so no
    /// address stands for two of them.
    passed: Vec<Passed>,
}

/// The public form of a context, written.
#[derive(Default)]
struct Passed {
    address: usize,
    without_anonymous: bool,
    json: Vec<u8>,
}

impl Writer<'_> {
    pub(super) fn new(gate: &Gate) -> Writer<'_> {
        Writer {
            gate,
            passed: Vec::new(),
        }
    }

    /// Appends the event as JSON.
    ///
    /// # Errors
    /// When it has no JSON form; what was appended then is to be cut off.
    pub(super) fn write(
        &mut self,
        event: &Event,
        out: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let (kind, without_anonymous) = match &event.what {
            What::Index => ("index", false),
            What::Identify => ("identify", false),
            What::Debug(_) => ("debug", false),
            What::Feature(_) => ("feature", true),
            What::Custom(_) => ("custom", true),
            What::MigrationOp(_) => ("migration_op", true),
        };
        out.extend_from_slice(b"{\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"creationDate\":");
        serde_json::to_writer(&mut *out, &event.at_ms)?;
        match &event.what {
            What::Index | What::Identify => {}
            What::Custom(members) => {
                out.push(b',');
                out.extend_from_slice(members);
            }
            What::Feature(evaluation) | What::Debug(evaluation) => {
                write_members(out, &**evaluation)?;
            }
            What::MigrationOp(members) => write_members(out, &Members(members))?,
        }
        out.extend_from_slice(b",\"context\":");
        self.write_context(&event.context, without_anonymous, out)?;
        out.push(b'}');
        Ok(())
    }

    fn write_context(
        &mut self,
        context: &Arc<Context>,
        without_anonymous: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let address = Arc::as_ptr(context) as usize;
        if self.passed.is_empty() {
            self.passed.resize_with(KEPT, Passed::default);
        }
        // Addresses differ in their middle bits: each context is an allocation of its own.
        let passed = &mut self.passed[address / 32 % KEPT];
        if passed.address != address || passed.without_anonymous != without_anonymous {
            passed.address = 0;
            passed.json.clear();
            serde_json::to_writer(
                &mut passed.json,
                &self.gate.pass(context, without_anonymous),
            )?;
            passed.address = address;
            passed.without_anonymous = without_anonymous;
        }
        out.extend_from_slice(&passed.json);
        Ok(())
    }
}

/// Appends the members of what is written as an object, each with a comma before it.
fn write_members(out: &mut Vec<u8>, object: &impl Serialize) -> Result<(), serde_json::Error> {
    let start = out.len();
    serde_json::to_writer(&mut *out, object)?;
    out.pop();
    if out.len() == start + 1 {
        out.pop();
    } else if let Some(brace) = out.get_mut(start) {
        *brace = b',';
    }
    Ok(())
}

/// The members of an object; nothing of any other value.
struct Members<'a>(&'a Value);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Value::Object(members) = self.0 {
            for (name, value) in members {
                write_value(&mut map, name, Some(value))?;
            }
        }
        map.end()
    }
}

fn write_value<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: Option<&Value>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &Shallow(value)))
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", &self.key)?;
        write_value(&mut map, "value", Some(&self.value))?;
        write_value(&mut map, "default", Some(&self.default))?;
        if let Some(version) = self.version {
            map.serialize_entry("version", &version)?;
        }
        if let Some(variation) = self.variation {
            map.serialize_entry("variation", &variation)?;
        }
        if let Some(reason) = &self.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(key) = &self.prerequisite_of {
            map.serialize_entry("prereqOf", key)?;
        }
        map.end()
    }
}

/// A summary about to be written.
pub(super) struct WrittenSummary<'a> {
    pub(super) summary: &'a Summary,
    pub(super) end_ms: i64,
}

impl Serialize for WrittenSummary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("kind", "summary")?;
        map.serialize_entry("startDate", &self.summary.start_ms())?;
        map.serialize_entry("endDate", &self.end_ms)?;
        map.serialize_entry("features", &self.summary.merged())?;
        map.end()
    }
}

impl Serialize for MergedFlag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        // The summary is one event for all flags: a value that cannot be written becomes null rather than cost them.
        write_or_null(&mut map, "default", self.default)?;
        map.serialize_entry("contextKinds", &self.kinds)?;
        map.serialize_entry("counters", &self.counters)?;
        map.end()
    }
}

impl Serialize for MergedCounter<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &self.count)?;
        write_or_null(&mut map, "value", self.value)?;
        if let Some(variation) = self.variation {
            map.serialize_entry("variation", &variation)?;
        }
        match self.version {
            Some(version) => map.serialize_entry("version", &version)?,
            None => map.serialize_entry("unknown", &true)?,
        }
        map.end()
    }
}

fn write_or_null<M: SerializeMap>(map: &mut M, name: &str, value: &Value) -> Result<(), M::Error> {
    map.serialize_entry(name, Shallow::or_null(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(items: &[&str], most_bytes: usize, most_events: u64) -> Vec<(String, u64)> {
        let mut packer = Packer::with_limits(most_bytes, most_events);
        let mut payloads = Vec::new();
        for item in items {
            payloads.extend(packer.add(item).unwrap());
        }
        payloads.extend(packer.finish());
        payloads
            .into_iter()
            .map(|p| (String::from_utf8(p.body).unwrap(), p.events))
            .collect()
    }

    #[test]
    fn a_payload_is_closed_before_it_exceeds_its_limits() {
        assert_eq!(pack(&[], 100, 10), []);
        assert_eq!(
            pack(&["a", "b", "c"], 100, 2),
            [(r#"["a","b"]"#.into(), 2), (r#"["c"]"#.into(), 1)]
        );
        assert_eq!(
            pack(&["aa", "bb", "c"], 10, 10),
            [(r#"["aa"]"#.into(), 1), (r#"["bb","c"]"#.into(), 2)]
        );
    }

    #[test]
    fn a_single_event_beyond_the_limit_goes_alone() {
        assert_eq!(
            pack(&["a", "0123456789", "b"], 8, 10),
            [
                (r#"["a"]"#.into(), 1),
                (r#"["0123456789"]"#.into(), 1),
                (r#"["b"]"#.into(), 1)
            ]
        );
    }

    #[test]
    fn members_are_written_with_a_comma_before_each() {
        for (object, members) in [("{}", ""), (r#"{"a":1,"b":[2]}"#, r#","a":1,"b":[2]"#)] {
            let mut out = b"x".to_vec();
            let object: Value = serde_json::from_str(object).unwrap();
            write_members(&mut out, &Members(&object)).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{members}"));
        }
    }

    #[test]
    fn an_event_without_a_json_form_leaves_no_trace() {
        struct Bad;
        impl Serialize for Bad {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("a", &1)?;
                Err(serde::ser::Error::custom("no"))
            }
        }
        let mut packer = Packer::new();
        assert!(packer.add(&Bad).is_err());
        packer.add(&1).unwrap();
        assert!(packer.add(&Bad).is_err());
        packer.add(&2).unwrap();
        assert_eq!(packer.finish().unwrap().body, b"[1,2]");
    }
}
