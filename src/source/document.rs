//! Flag files: reading, and merging into the form in which polling has its data. When they are read again is left to
//! `files`, what YAML is to `yaml`.
//!
//! 1. A file has the sections `flags`, `flagValues` and `segments`, each an object by key. A flag value becomes a flag
//!    that is on and serves that value to everyone. Other sections are ignored.
//! 2. The key of an item is its member `key`, else its name in the section. One key in two places, flags and flag
//!    values together, is an error; one name twice in the same section is a remark, and the last one counts.
//! 3. An item without a version has version 1.
//! 4. A file named `.yaml` or `.yml`, or that does not start like JSON, is YAML. An empty file is an error: it is what
//!    others see of a file that is being written.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};

use super::yaml;
use crate::model::Value;

const LARGEST_FILE: u64 = 256 * 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

pub(super) type Named<T> = Vec<(Box<str>, T)>;

/// Flag files, merged.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) flags: Named<Value>,
    pub(super) segments: Named<Value>,
    /// What is worth a warning.
    pub(super) remarks: Vec<String>,
}

/// What is wrong in a text, and where; lines and columns count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {} column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.what)
    }
}

/// The data of flag files in JSON or YAML, merged into `{"flags": {…}, "segments": {…}}`.
///
/// # Errors
/// The file, the place in it, and what is wrong, in words. Nothing is merged then.
pub fn read_files(paths: &[PathBuf]) -> Result<String, String> {
    let files = paths
        .iter()
        .map(|path| Ok((path.as_path(), read_file(path)?)))
        .collect::<Result<Vec<_>, String>>()?;
    Ok(merge(&files)?.to_json())
}

/// The bytes of a file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |what: &dyn fmt::Display| format!("{}: {what}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(failed(&"the file is larger than 256 MiB"));
    }
    Ok(bytes)
}

/// Merges files whose bytes are known.
pub(super) fn merge(files: &[(&Path, Vec<u8>)]) -> Result<Document, String> {
    let mut merged = Document::default();
    let mut flags = Places::new("flag");
    let mut segments = Places::new("segment");
    for (path, bytes) in files {
        let shown = path.display();
        let sections = Sections::read(path, bytes).map_err(|fault| format!("{shown}: {fault}"))?;
        for remark in sections.remarks {
            merged.remarks.push(format!("{shown}: {remark}"));
        }
        for (section, items) in [
            ("flags", sections.flags),
            ("flagValues", sections.flag_values),
        ] {
            for (name, value) in unique(items, section, path, &mut merged.remarks) {
                let flag = if section == "flags" {
                    item(value)
                } else {
                    serving(&name, value)
                };
                let key = flags.claim(name, &flag, path, section)?;
                merged.flags.push((key, flag));
            }
        }
        for (name, value) in unique(sections.segments, "segments", path, &mut merged.remarks) {
            let segment = item(value);
            let key = segments.claim(name, &segment, path, "segments")?;
            merged.segments.push((key, segment));
        }
    }
    Ok(merged)
}

impl Document {
    /// The text that `Change::full` reads.
    pub(super) fn to_json(&self) -> String {
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut json);
        let written = (|| {
            let mut map = serializer.serialize_map(Some(2))?;
            map.serialize_entry("flags", &Members(&self.flags))?;
            map.serialize_entry("segments", &Members(&self.segments))?;
            SerializeMap::end(map)
        })();
        match written {
            Ok(()) => String::from_utf8(json).unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

struct Members<'a>(&'a Named<Value>);

impl serde::Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sections {
    #[serde(deserialize_with = "section")]
    flags: Named<Value>,
    #[serde(deserialize_with = "section")]
    flag_values: Named<Value>,
    #[serde(deserialize_with = "section")]
    segments: Named<Value>,
    #[serde(skip)]
    remarks: Vec<String>,
}

impl Sections {
    fn read(path: &Path, bytes: &[u8]) -> Result<Sections, Fault> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let text =
            std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
        let nowhere = |what: &str| Fault {
            line: 0,
            column: 0,
            what: what.to_owned(),
        };
        let is_yaml = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"));
        match text.trim_start().chars().next() {
            None => Err(nowhere("the file is empty")),
            Some('{') if !is_yaml => serde_json::from_str(text).map_err(|error| of_json(&error)),
            Some('[') if !is_yaml => Err(nowhere("the file must hold an object, not an array")),
            Some(_) => {
                let parsed = yaml::parse(text)?;
                let Value::Object(members) = parsed.value else {
                    return Err(nowhere(
                        "the file must hold an object with the sections flags, flagValues or segments",
                    ));
                };
                let mut sections = Sections {
                    remarks: parsed.remarks,
                    ..Sections::default()
                };
                for (name, value) in members {
                    let section = match &*name {
                        "flags" => &mut sections.flags,
                        "flagValues" => &mut sections.flag_values,
                        "segments" => &mut sections.segments,
                        _ => continue,
                    };
                    match value {
                        Value::Object(members) => *section = members.into_vec(),
                        Value::Null => {}
                        _ => return Err(nowhere(&format!("{name} must be an object by key"))),
                    }
                }
                Ok(sections)
            }
        }
    }
}

fn not_utf8(bytes: &[u8], at: usize) -> Fault {
    let before = &bytes[..at];
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    Fault {
        line: before.split(|byte| *byte == b'\n').count(),
        column: at - start + 1,
        what: "the text is not UTF-8".to_owned(),
    }
}

fn of_json(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Fault {
        line: error.line(),
        column: error.column(),
        what: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
    }
}

/// The members in order, repeated names too.
fn section<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Named<Value>, D::Error> {
    struct Section;

    impl<'de> Visitor<'de> for Section {
        type Value = Named<Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object by key")
        }

        fn visit_unit<E>(self) -> Result<Named<Value>, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<Value>, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    deserializer.deserialize_any(Section)
}

/// The last of each name, at the place of the first.
fn unique(
    members: Named<Value>,
    section: &str,
    path: &Path,
    remarks: &mut Vec<String>,
) -> Named<Value> {
    let mut places: HashMap<Box<str>, usize> = HashMap::with_capacity(members.len());
    let mut kept: Named<Value> = Vec::with_capacity(members.len());
    for (name, value) in members {
        if let Some(place) = places.get(&name) {
            remarks.push(format!(
                "{}: {section} has the key \"{name}\" more than once; the last one counts.",
                path.display()
            ));
            kept[*place].1 = value;
        } else {
            places.insert(name.clone(), kept.len());
            kept.push((name, value));
        }
    }
    kept
}

/// Who has which key.
struct Places<'a> {
    what: &'static str,
    places: HashMap<Box<str>, (&'a Path, &'static str)>,
}

impl<'a> Places<'a> {
    fn new(what: &'static str) -> Places<'a> {
        Places {
            what,
            places: HashMap::new(),
        }
    }

    /// The key of the item, if it is nobody's yet.
    fn claim(
        &mut self,
        name: Box<str>,
        item: &Value,
        path: &'a Path,
        section: &'static str,
    ) -> Result<Box<str>, String> {
        let key = match item.member("key") {
            Some(Value::String(key)) if !key.is_empty() => key.clone(),
            _ => name,
        };
        match self.places.insert(key.clone(), (path, section)) {
            None => Ok(key),
            Some((other, other_section)) => Err(format!(
                "{}: the {} \"{key}\" in {section} is in {other_section} of {} already",
                path.display(),
                self.what,
                other.display()
            )),
        }
    }
}

/// An item with a version.
fn item(value: Value) -> Value {
    match value {
        Value::Object(members) if !members.iter().any(|(name, _)| **name == *"version") => {
            let mut members = members.into_vec();
            members.push(("version".into(), Value::Int(1)));
            Value::Object(members.into())
        }
        other => other,
    }
}

/// A flag that serves the value to everyone.
fn serving(key: &str, value: Value) -> Value {
    let object = |members: Vec<(&str, Value)>| {
        Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    };
    object(vec![
        ("key", key.into()),
        ("version", Value::Int(1)),
        ("on", true.into()),
        ("fallthrough", object(vec![("variation", Value::Int(0))])),
        ("variations", Value::Array(Box::new([value]))),
    ])
}
