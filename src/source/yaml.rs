//! YAML into JSON values. Splitting the text into events is the parser's work; what a scalar means, and the limits, are
//! here.
//!
//! 1. A key is the text that stands there: `on:` is the key `on`, `1:` the key `1`.
//! 2. A plain scalar is read as by YAML 1.2, and where 1.1 differs in booleans and numbers (`yes`, `off`, `010`,
//!    `1_000`) as by `PyYAML`, for which existing files were written. Dates and times are strings.
//! 3. Anchors, aliases and merge keys (`<<`) are resolved. What they copy is limited to 64 MiB, nesting to 100.
//! 4. Of two members of one name the last counts, with a remark. More than one document is an error.

use std::borrow::Cow;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use hashbrown::HashMap;

use super::document::{Fault, Named};
use crate::model::Value;

const DEEPEST: usize = 100;
const MOST_COPIED: usize = 64 * 1024 * 1024;

/// A document.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) value: Value,
    /// What is worth a warning.
    pub(super) remarks: Vec<String>,
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Parsed, Fault> {
    let mut builder = Builder::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| of_scan(&error))?;
        if matches!(event, Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                return Err(fault(
                    span.start,
                    "there is a second document; one is expected",
                ));
            }
        }
        builder.take(event, span.start)?;
    }
    Ok(Parsed {
        value: builder.root.unwrap_or_default(),
        remarks: builder.remarks,
    })
}

/// A value, and what copying it costs.
#[derive(Clone, Debug)]
struct Node {
    value: Value,
    /// About its bytes.
    weight: usize,
    /// 0 for a scalar.
    height: usize,
}

#[derive(Debug)]
enum Open {
    Sequence {
        anchor: usize,
        items: Vec<Value>,
        weight: usize,
        height: usize,
    },
    Mapping {
        anchor: usize,
        members: Named<Value>,
        places: HashMap<Box<str>, usize>,
        merged: Vec<Value>,
        key: Option<Key>,
        weight: usize,
        height: usize,
    },
}

#[derive(Debug)]
enum Key {
    Name(Box<str>),
    Merge,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    copied: usize,
    root: Option<Value>,
    remarks: Vec<String>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_ref(), at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                collection_tag(tag.as_ref(), "seq", at)?;
                self.open(
                    Open::Sequence {
                        anchor,
                        items: Vec::new(),
                        weight: 0,
                        height: 1,
                    },
                    at,
                )
            }
            Event::MappingStart(_, anchor, tag) => {
                collection_tag(tag.as_ref(), "map", at)?;
                self.open(
                    Open::Mapping {
                        anchor,
                        members: Vec::new(),
                        places: HashMap::new(),
                        merged: Vec::new(),
                        key: None,
                        weight: 0,
                        height: 1,
                    },
                    at,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(fault(at, "the alias stands inside what it is an alias of"));
                };
                let weight = node.weight;
                self.copy(weight, at)?;
                let node = self.anchors[&anchor].clone();
                if self.expects_key() {
                    let Value::String(name) = node.value else {
                        return Err(fault(at, "a key must be a text"));
                    };
                    self.key(Key::Name(name), at);
                    return Ok(());
                }
                self.add(node, at)
            }
            _ => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Mapping { key: None, .. }))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Cow<'_, Tag>>,
        at: Marker,
    ) -> Result<(), Fault> {
        let plain = style == ScalarStyle::Plain;
        if self.expects_key() {
            if anchor != 0 {
                self.remember(anchor, Node::of_scalar(text.into()), at)?;
            }
            let key = if plain && tag.is_none() && text == "<<" {
                Key::Merge
            } else {
                Key::Name(text.into())
            };
            self.key(key, at);
            return Ok(());
        }
        let node = Node::of_scalar(scalar(text, plain, tag, at)?);
        if anchor != 0 {
            self.remember(anchor, node.clone(), at)?;
        }
        self.add(node, at)
    }

    fn key(&mut self, new: Key, at: Marker) {
        if let Some(Open::Mapping {
            key,
            places,
            weight,
            ..
        }) = self.open.last_mut()
        {
            if let Key::Name(name) = &new {
                if places.contains_key(name) {
                    self.remarks.push(format!(
                        "line {} column {}: the key \"{name}\" is there more than once; the last one counts.",
                        at.line(),
                        at.col() + 1
                    ));
                }
                *weight += name.len();
            }
            *key = Some(new);
        }
    }

    fn open(&mut self, new: Open, at: Marker) -> Result<(), Fault> {
        if self.expects_key() {
            return Err(fault(at, "a key must be a text"));
        }
        if self.open.len() >= DEEPEST {
            return Err(too_deep(at));
        }
        self.open.push(new);
        Ok(())
    }

    fn close(&mut self, at: Marker) -> Result<(), Fault> {
        let (anchor, node) = match self.open.pop() {
            Some(Open::Sequence {
                anchor,
                items,
                weight,
                height,
            }) => (
                anchor,
                Node::new(Value::Array(items.into()), weight, height),
            ),
            Some(Open::Mapping {
                anchor,
                mut members,
                mut places,
                merged,
                weight,
                height,
                ..
            }) => {
                // What stands in the mapping wins over what is merged in, and the first merged over the next.
                for (name, value) in merged.into_iter().flat_map(members_of) {
                    if !places.contains_key(&name) {
                        places.insert(name.clone(), members.len());
                        members.push((name, value));
                    }
                }
                (
                    anchor,
                    Node::new(Value::Object(members.into()), weight, height),
                )
            }
            None => return Ok(()),
        };
        if anchor != 0 {
            self.copy(node.weight, at)?;
            self.remember(anchor, node.clone(), at)?;
        }
        self.add(node, at)
    }

    fn add(&mut self, node: Node, at: Marker) -> Result<(), Fault> {
        if self.open.len() + node.height > DEEPEST {
            return Err(too_deep(at));
        }
        match self.open.last_mut() {
            None => self.root = Some(node.value),
            Some(Open::Sequence {
                items,
                weight,
                height,
                ..
            }) => {
                items.push(node.value);
                *weight += node.weight;
                *height = (*height).max(node.height + 1);
            }
            Some(Open::Mapping {
                members,
                places,
                merged,
                key,
                weight,
                height,
                ..
            }) => {
                *weight += node.weight;
                *height = (*height).max(node.height + 1);
                match key.take() {
                    Some(Key::Name(name)) => {
                        if let Some(place) = places.get(&name) {
                            members[*place].1 = node.value;
                        } else {
                            places.insert(name.clone(), members.len());
                            members.push((name, node.value));
                        }
                    }
                    Some(Key::Merge) => match node.value {
                        object @ Value::Object(_) => merged.push(object),
                        Value::Array(items)
                            if items.iter().all(|item| matches!(item, Value::Object(_))) =>
                        {
                            merged.extend(items);
                        }
                        _ => return Err(fault(at, "only objects can be merged by <<")),
                    },
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: Node, at: Marker) -> Result<(), Fault> {
        self.copy(node.weight, at)?;
        self.anchors.insert(anchor, node);
        Ok(())
    }

    fn copy(&mut self, weight: usize, at: Marker) -> Result<(), Fault> {
        self.copied = self.copied.saturating_add(weight);
        if self.copied > MOST_COPIED {
            return Err(fault(at, "the aliases make more than 64 MiB of it"));
        }
        Ok(())
    }
}

impl Node {
    fn new(value: Value, inner: usize, height: usize) -> Node {
        Node {
            value,
            weight: inner + size_of::<Value>() + size_of::<Box<str>>(),
            height,
        }
    }

    fn of_scalar(value: Value) -> Node {
        let text = match &value {
            Value::String(text) | Value::BigInt(text) => text.len(),
            _ => 0,
        };
        Node::new(value, text, 0)
    }
}

fn members_of(value: Value) -> Vec<(Box<str>, Value)> {
    match value {
        Value::Object(members) => members.into_vec(),
        _ => Vec::new(),
    }
}

fn collection_tag(tag: Option<&Cow<'_, Tag>>, expected: &str, at: Marker) -> Result<(), Fault> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) && !is_non_specific(tag) => {
            Err(unknown_tag(tag, at))
        }
        _ => Ok(()),
    }
}

fn scalar(text: &str, plain: bool, tag: Option<&Cow<'_, Tag>>, at: Marker) -> Result<Value, Fault> {
    let Some(tag) = tag else {
        return if plain {
            resolve(text, at)
        } else {
            Ok(text.into())
        };
    };
    if is_non_specific(tag) {
        return Ok(text.into());
    }
    let value = match tag.core_suffix() {
        Some("str") => return Ok(text.into()),
        Some("bool" | "int" | "float" | "null") => resolve(text, at)?,
        _ => return Err(unknown_tag(tag, at)),
    };
    match (tag.core_suffix(), &value) {
        (Some("bool"), Value::Bool(_))
        | (Some("int"), Value::Int(_) | Value::BigInt(_))
        | (Some("float"), Value::Float(_) | Value::Int(_))
        | (Some("null"), Value::Null) => Ok(value),
        _ => Err(fault(at, "the value is not of the type that its tag says")),
    }
}

/// A lone `!`: a string, whatever it looks like.
fn is_non_specific(tag: &Tag) -> bool {
    matches!(tag.original_parts(), ("!", "") | ("", "!"))
}

fn unknown_tag(tag: &Tag, at: Marker) -> Fault {
    fault(
        at,
        &format!("the tag {} has no meaning here", tag.original()),
    )
}

/// What a plain scalar is.
fn resolve(text: &str, at: Marker) -> Result<Value, Fault> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => {
            let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
            if matches!(unsigned, ".inf" | ".Inf" | ".INF")
                || matches!(text, ".nan" | ".NaN" | ".NAN")
            {
                return Err(fault(
                    at,
                    "JSON has no number for infinity and none for \"not a number\"",
                ));
            }
            // A number starts with a digit or a point; most texts do not.
            match unsigned.as_bytes().first() {
                Some(b'0'..=b'9' | b'.') => integer(text, unsigned)
                    .or_else(|| float(text, unsigned))
                    .unwrap_or_else(|| text.into()),
                _ => text.into(),
            }
        }
    })
}

fn integer(text: &str, unsigned: &str) -> Option<Value> {
    let negative = text.starts_with('-');
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x', ..] => (16, &unsigned[2..]),
        [b'0', b'o', ..] => (8, &unsigned[2..]),
        [b'0', b'b', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if !digits
        .chars()
        .all(|digit| digit.is_digit(radix) || digit == '_')
    {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    if let Ok(number) = i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        return Some(Value::Int(number));
    }
    (radix == 10).then(|| Value::BigInt(format!("{sign}{digits}").into()))
}

fn float(text: &str, unsigned: &str) -> Option<Value> {
    let mut parts = unsigned.splitn(2, ['e', 'E']);
    let mantissa = parts.next()?;
    let points = mantissa.matches('.').count();
    let shaped = mantissa
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'_')
        && mantissa.bytes().any(|byte| byte.is_ascii_digit())
        && points <= 1;
    let exponent = parts.next().is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !shaped || !exponent || (points == 0 && !unsigned.contains(['e', 'E'])) {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    number.is_finite().then_some(Value::Float(number))
}

fn too_deep(at: Marker) -> Fault {
    fault(at, "the data is nested more than 100 deep")
}

fn fault(at: Marker, what: &str) -> Fault {
    Fault {
        line: at.line(),
        column: at.col() + 1,
        what: what.to_owned(),
    }
}

fn of_scan(error: &ScanError) -> Fault {
    fault(*error.marker(), &error.info())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        parse(text)
            .unwrap_or_else(|fault| panic!("{text}: {fault}"))
            .value
            .to_json()
    }

    fn error(text: &str) -> String {
        match parse(text) {
            Err(fault) => fault.to_string(),
            Ok(parsed) => panic!("{text}: {:?}", parsed.value),
        }
    }

    #[test]
    fn scalars_are_read_by_the_table() {
        for (yaml, expected) in [
            ("true", "true"),
            ("Yes", "true"),
            ("off", "false"),
            ("\"yes\"", "\"yes\""),
            ("y", "\"y\""),
            ("~", "null"),
            ("\"\"", "\"\""),
            ("12", "12"),
            ("-12", "-12"),
            ("+1_000", "1000"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("017", "15"),
            ("018", "\"018\""),
            ("0b11", "3"),
            ("0", "0"),
            ("18446744073709551616", "18446744073709551616"),
            ("1.5", "1.5"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("-1.5e+3", "-1500.0"),
            ("1e3", "1000.0"),
            ("1e999", "\"1e999\""),
            ("1.2.3", "\"1.2.3\""),
            ("2024-01-31", "\"2024-01-31\""),
            ("12:30", "\"12:30\""),
            (".", "\".\""),
            ("-", "[null]"),
            ("!!str 12", "\"12\""),
            ("! 12", "\"12\""),
            ("!!int \"12\"", "12"),
            ("|\n a\n b\n", "\"a\\nb\\n\""),
            (">\n a\n b\n", "\"a b\\n\""),
        ] {
            assert_eq!(json(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn a_key_is_the_text_that_stands_there() {
        assert_eq!(
            json("on: true\nyes: 1\n1: a\nnull: b\n\"<<\": c"),
            r#"{"on":true,"yes":1,"1":"a","null":"b","<<":"c"}"#
        );
    }

    #[test]
    fn anchors_aliases_and_merges_are_resolved() {
        assert_eq!(
            json("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{y: 9}, *a]}"),
            r#"{"a":{"x":1,"y":2},"b":{"x":1,"y":2},"c":{"y":3,"x":1},"d":{"y":9,"x":1}}"#
        );
        assert_eq!(json("- &k name\n- {*k : 1}"), r#"["name",{"name":1}]"#);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        for (yaml, expected) in [
            ("a: 1\nb: [1, 2", "line "),
            ("a: 1\n b: 2", "line 2"),
            ("a: *nobody", "line 1 column 4"),
            ("a: &a [*a]", "line 1 column 8: the alias stands inside"),
            ("a: .inf", "line 1 column 4: JSON has no number"),
            ("a: !!binary aGk=", "has no meaning here"),
            ("a: !!int x", "not of the type"),
            ("{[1]: 2}", "a key must be a text"),
            (
                "a: 1\n---\nb: 2",
                "line 2 column 1: there is a second document",
            ),
            ("<<: 1", "only objects can be merged"),
        ] {
            let error = error(yaml);
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn a_repeated_key_is_remarked_on_and_the_last_counts() {
        let parsed = parse("a: 1\nb: 2\na: 3").unwrap();
        assert_eq!(parsed.value.to_json(), r#"{"a":3,"b":2}"#);
        assert!(
            parsed.remarks[0].starts_with("line 3 column 1: the key \"a\""),
            "{:?}",
            parsed.remarks
        );
    }

    #[test]
    fn a_bomb_of_aliases_and_nesting_without_end_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            let items = before.trim_end_matches(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{items}]\n");
        }
        assert!(error(&bomb).contains("64 MiB"));
        let strings = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(100));
        assert!(error(&strings).contains("64 MiB"));
        for opening in ["[", "- ", "? ", "{a: "] {
            assert!(
                error(&opening.repeat(10_000)).starts_with("line 1 column "),
                "{opening}"
            );
            let text = opening.repeat(150) + &"]".repeat(150);
            assert!(parse(&text).is_err(), "{opening}");
        }
        assert!(
            error(&format!("{}{}", "[".repeat(101), "]".repeat(101)))
                .contains("more than 100 deep")
        );
        assert!(parse(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_ok());
        let mut ladder = "a0: &a0 [1]\n".to_owned();
        for level in 1..150 {
            ladder = format!("{ladder}a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert!(error(&ladder).contains("deep"));
    }

    #[test]
    fn json_is_yaml() {
        let text = r#"{"a":[1,-2.5,true,null,"x\ny"],"b":{"c":{}}}"#;
        assert_eq!(json(text), text);
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "b: ", "- ", "\n", "  ", "{", "}", "[", "]", ",", ": ", "&a ", "*a", "<<: ", "\"",
            "'", "|", ">", "#", "!!str ", "---", "\t", "?", "1", "é", "\u{0}",
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in pieces()) {
            let _ = parse(&text);
        }
    }
}
