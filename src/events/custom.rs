//! The application's own event on its way in. It is written where it is recorded: what is kept until the next flush is
//! text, one piece of memory an event.

use serde_json::ser::to_writer;

use super::redaction::Shallow;
use crate::model::Value;

/// Nearly all events fit, so that their memory is asked for once.
const USUAL_BYTES: usize = 128;

/// An event of the application, without its date and context.
#[derive(Debug)]
pub struct Custom {
    /// Members of the event's JSON object, the first without a comma; `None` once one had no JSON form.
    members: Option<Vec<u8>>,
}

impl Custom {
    /// An event of this name.
    #[must_use]
    pub fn new(name: &str) -> Custom {
        let mut members = Vec::with_capacity(USUAL_BYTES);
        members.extend_from_slice(b"\"key\":");
        let written = to_writer(&mut members, name);
        Custom {
            members: written.is_ok().then_some(members),
        }
    }

    /// Adds the data. An event whose data has no JSON form is not sent.
    #[must_use]
    pub fn with_data(self, data: &Value) -> Custom {
        self.with("data", data)
    }

    /// Adds the metric value, a number.
    #[must_use]
    pub fn with_metric(self, metric: &Value) -> Custom {
        self.with("metricValue", metric)
    }

    fn with(mut self, name: &str, value: &Value) -> Custom {
        let write = |out: &mut Vec<u8>| to_writer(out, &Shallow(value)).is_ok();
        if !self.write(name, write) {
            self.members = None;
        }
        self
    }

    /// Adds the data as `write` appends it, which must be JSON; nothing if it returns false.
    pub fn write_data(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        self.write("data", write)
    }

    /// The same for the metric value.
    pub fn write_metric(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        self.write("metricValue", write)
    }

    fn write(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let Some(members) = &mut self.members else {
            return true;
        };
        let before = members.len();
        members.extend_from_slice(b",\"");
        members.extend_from_slice(name.as_bytes());
        members.extend_from_slice(b"\":");
        let written = write(members);
        if !written {
            members.truncate(before);
        }
        written
    }

    /// Its members, if all have a JSON form.
    pub(super) fn members(self) -> Option<Vec<u8>> {
        self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(custom: Custom) -> Option<String> {
        custom
            .members()
            .map(|members| String::from_utf8(members).unwrap())
    }

    #[test]
    fn what_cannot_be_written_leaves_no_trace_or_costs_the_event() {
        let mut custom = Custom::new("a\"b");
        assert!(!custom.write_data(|out| {
            out.extend_from_slice(b"{\"half");
            false
        }));
        assert!(custom.write_metric(|out| {
            out.extend_from_slice(b"1.5");
            true
        }));
        assert_eq!(
            text(custom.with_data(&Value::Null)).unwrap(),
            r#""key":"a\"b","metricValue":1.5,"data":null"#
        );
        let mut deep = Value::Null;
        for _ in 0..200 {
            deep = Value::Array([deep].into());
        }
        assert_eq!(text(Custom::new("a").with_data(&deep)), None);
    }
}
