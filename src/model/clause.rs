//! One condition of a rule, its operands parsed when the flag arrives: patterns, dates, versions, sets.
//! How a context's value is held against them is the evaluation's question.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::attribute::{AttributeError, AttributeRef};
use super::context::Kind;
use super::keys::{Key, KeySet};
use super::value::Value;

/// How many steps a pattern with look-around or back-references may take on one value before it counts as no match.
const BACKTRACK_LIMIT: usize = 100_000;

/// How deep groups in a pattern may be nested. The engines compile by recursion, at up to 70 KiB of stack a level.
const DEEPEST_GROUP: usize = 25;

/// A condition.
#[derive(Debug)]
pub struct Clause {
    /// The kind of context that is asked.
    pub kind: Kind,
    /// The attribute that is asked; a bad reference makes the flag malformed when the clause is reached.
    pub attribute: Result<AttributeRef, AttributeError>,
    /// Whether a match counts as none and the other way round. A missing attribute never matches, negated or not.
    pub negate: bool,
    /// The operator with its operands.
    pub test: Test,
    /// The number from 1 to 64 of a clause that stands in several rules of its flag; 0 for any other one.
    pub repeated: u8,
}

/// An operator with its operands. Operands that the operator cannot use are left out: they never match.
#[derive(Debug)]
pub enum Test {
    /// `segmentMatch`: the keys of the segments.
    Segments(Box<[Key]>),
    /// `in`.
    In(Needles),
    /// `startsWith`.
    StartsWith(Box<[Box<str>]>),
    /// `endsWith`.
    EndsWith(Box<[Box<str>]>),
    /// `contains`.
    Contains(Box<[Box<str>]>),
    /// `matches`.
    Matches(Box<[Pattern]>),
    /// `lessThan` and its three relatives.
    Number(Comparison, Box<[f64]>),
    /// `before` and `after`, in milliseconds since 1970.
    Date(Comparison, Box<[f64]>),
    /// `semVerEqual`, `semVerLessThan`, `semVerGreaterThan`.
    Version(Comparison, Box<[semver::Version]>),
    /// An operator of a newer service, by its name: never matches.
    Unknown(Box<str>),
}

/// The operands of `in`: text in a set, everything else in a list.
#[derive(Debug, Default)]
pub struct Needles {
    /// The strings.
    pub strings: KeySet,
    /// All other values.
    pub others: Box<[Value]>,
}

/// How the context's value must stand to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Smaller, or earlier.
    Less,
    /// Smaller or the same.
    LessOrEqual,
    /// Greater, or later.
    Greater,
    /// Greater or the same.
    GreaterOrEqual,
    /// The same.
    Equal,
}

/// A regular expression.
#[derive(Debug)]
pub enum Pattern {
    /// Matched in linear time.
    Linear(regex::Regex),
    /// Has look-around or back-references: matched with a limit on steps.
    Backtracking(Box<fancy_regex::Regex>),
    /// Neither engine takes it: never matches. Keeps the text, so that the load can be reported.
    Invalid(Box<str>),
}

impl Pattern {
    fn compile(text: &str) -> Pattern {
        if nesting(text) > DEEPEST_GROUP {
            return Pattern::Invalid(text.into());
        }
        if let Ok(pattern) = regex::Regex::new(text) {
            return Pattern::Linear(pattern);
        }
        match fancy_regex::RegexBuilder::new(text)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
        {
            Ok(pattern) if names_differ(&pattern) => Pattern::Backtracking(Box::new(pattern)),
            _ => Pattern::Invalid(text.into()),
        }
    }

    /// Whether it matches anywhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Pattern::Linear(pattern) => pattern.is_match(text),
            Pattern::Backtracking(pattern) => pattern.is_match(text).unwrap_or(false),
            Pattern::Invalid(_) => false,
        }
    }
}

/// Whether no two groups share a name; other engines of the service take no such pattern.
fn names_differ(pattern: &fancy_regex::Regex) -> bool {
    let mut names = std::collections::HashSet::new();
    pattern
        .capture_names()
        .flatten()
        .all(|name| names.insert(name))
}

/// How deep groups and classes are nested at most; a bracket that is escaped does not count.
fn nesting(pattern: &str) -> usize {
    let (mut depth, mut deepest, mut escaped) = (0_usize, 0, false);
    for byte in pattern.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Milliseconds since 1970 of a date operand: a number as it is, a text by RFC 3339.
#[must_use]
pub fn parse_time_ms(text: &str) -> Option<f64> {
    // RFC 3339 leaves the separator open, the crate takes any. A blank is what Python's `str(datetime)` writes.
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "dates compare as doubles, as the service does"
    )]
    Some(instant.unix_timestamp_nanos() as f64 / 1e6)
}

/// A semantic version whose minor and patch numbers may be missing ("2" is 2.0.0, "2-rc1" is 2.0.0-rc1).
#[must_use]
pub fn parse_version(text: &str) -> Option<semver::Version> {
    if let Some([major, minor, patch]) = three_numbers(text) {
        return Some(semver::Version::new(major, minor, patch));
    }
    if let Ok(version) = semver::Version::parse(text) {
        return Some(version);
    }
    let numbers = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (numbers, rest) = text.split_at(numbers);
    let missing = match numbers.bytes().filter(|b| *b == b'.').count() {
        0 => ".0.0",
        1 => ".0",
        _ => return None,
    };
    semver::Version::parse(&format!("{numbers}{missing}{rest}")).ok()
}

/// What nearly every version is, read at once: three numbers. `None` leaves any other text to the parser.
fn three_numbers(text: &str) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let (mut part, mut digits) = (0, 0_u32);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                // A leading zero is an error, and more digits may not fit.
                if digits > 0 && numbers[part] == 0 || digits == 18 {
                    return None;
                }
                numbers[part] = numbers[part] * 10 + u64::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 2 => {
                part += 1;
                digits = 0;
            }
            _ => return None,
        }
    }
    (part == 2 && digits > 0).then_some(numbers)
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawClause {
    context_kind: Option<String>,
    attribute: Option<String>,
    op: Option<String>,
    values: Option<Vec<Value>>,
    negate: Option<bool>,
}

impl From<RawClause> for Clause {
    fn from(raw: RawClause) -> Clause {
        let attribute = raw.attribute.unwrap_or_default();
        let kind = raw.context_kind.unwrap_or_default();
        Clause {
            // Data from before context kinds holds plain names, which may look like paths.
            attribute: if kind.is_empty() {
                AttributeRef::literal(&attribute)
            } else {
                AttributeRef::parse(&attribute)
            },
            kind: Kind::from(&*kind),
            negate: raw.negate.unwrap_or(false),
            test: Test::new(
                raw.op.as_deref().unwrap_or_default(),
                raw.values.unwrap_or_default(),
            ),
            repeated: 0,
        }
    }
}

/// How many different clauses of a flag can have a number, and how many are compared with each one that comes.
const MOST_REPEATED: usize = 64;

/// Which of a flag's clauses are the same: a number from 1 for each of them, 0 for one that stands alone.
pub(super) fn repeated<'a>(clauses: impl Iterator<Item = &'a RawClause>) -> Vec<u8> {
    let mut numbers: Vec<u8> = Vec::new();
    let mut firsts: Vec<(&RawClause, usize)> = Vec::new();
    let mut last = 0;
    for (place, clause) in clauses.enumerate() {
        let first = firsts.iter().find(|(first, _)| *first == clause);
        let Some(&(_, first)) = first else {
            if firsts.len() < MOST_REPEATED {
                firsts.push((clause, place));
            }
            numbers.push(0);
            continue;
        };
        if numbers[first] == 0 {
            last += 1;
            numbers[first] = last;
        }
        numbers.push(numbers[first]);
    }
    numbers
}

impl Test {
    fn new(op: &str, values: Vec<Value>) -> Test {
        match op {
            "segmentMatch" => Test::Segments(texts(values).into_iter().map(Key::from).collect()),
            "in" => {
                let (strings, others): (Vec<_>, Vec<_>) =
                    values.into_iter().partition(|v| v.as_str().is_some());
                Test::In(Needles {
                    strings: texts(strings).into_vec().into(),
                    others: others.into(),
                })
            }
            "startsWith" => Test::StartsWith(texts(values)),
            "endsWith" => Test::EndsWith(texts(values)),
            "contains" => Test::Contains(texts(values)),
            "matches" => Test::Matches(
                values
                    .iter()
                    .filter_map(Value::as_str)
                    .map(Pattern::compile)
                    .collect(),
            ),
            "lessThan" => Test::Number(Comparison::Less, numbers(&values)),
            "lessThanOrEqual" => Test::Number(Comparison::LessOrEqual, numbers(&values)),
            "greaterThan" => Test::Number(Comparison::Greater, numbers(&values)),
            "greaterThanOrEqual" => Test::Number(Comparison::GreaterOrEqual, numbers(&values)),
            "before" => Test::Date(Comparison::Less, dates(&values)),
            "after" => Test::Date(Comparison::Greater, dates(&values)),
            "semVerEqual" => Test::Version(Comparison::Equal, versions(&values)),
            "semVerLessThan" => Test::Version(Comparison::Less, versions(&values)),
            "semVerGreaterThan" => Test::Version(Comparison::Greater, versions(&values)),
            unknown => Test::Unknown(unknown.into()),
        }
    }
}

fn texts(values: Vec<Value>) -> Box<[Box<str>]> {
    values
        .into_iter()
        .filter_map(|value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect()
}

fn numbers(values: &[Value]) -> Box<[f64]> {
    values.iter().filter_map(Value::as_f64).collect()
}

fn dates(values: &[Value]) -> Box<[f64]> {
    values
        .iter()
        .filter_map(|value| match value {
            Value::String(text) => parse_time_ms(text),
            value => value.as_f64(),
        })
        .collect()
}

fn versions(values: &[Value]) -> Box<[semver::Version]> {
    values
        .iter()
        .filter_map(Value::as_str)
        .filter_map(parse_version)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_take_missing_parts_and_nothing_else() {
        for (text, full) in [
            ("2", "2.0.0"),
            ("2.1", "2.1.0"),
            ("2-rc1", "2.0.0-rc1"),
            ("2.1+b", "2.1.0+b"),
        ] {
            assert_eq!(
                parse_version(text),
                semver::Version::parse(full).ok(),
                "{text}"
            );
        }
        for text in ["", "v2", "2.", "2.x", "2.1.", "02.1.0", "1.2.3.4", "2 .1"] {
            assert_eq!(parse_version(text), None, "{text}");
        }
    }

    #[test]
    fn three_plain_numbers_are_read_as_the_parser_reads_them() {
        for text in [
            "0.0.0",
            "1.2.3",
            "10.0.200",
            "999999999999999999.1.1",
            "18446744073709551615.0.0",
            "18446744073709551616.0.0",
            "01.2.3",
            "1.00.3",
            "1.2",
            "1.2.",
            "1..2",
            "1.2.3.4",
            "1.2.3-rc.1",
            "1.2.3+5",
            " 1.2.3",
            "١.2.3",
        ] {
            let full = semver::Version::parse(text).ok();
            let read = three_numbers(text).map(|[a, b, c]| semver::Version::new(a, b, c));
            assert!(read.is_none() || read == full, "{text}");
        }
        assert_eq!(three_numbers("10.0.200"), Some([10, 0, 200]));
    }

    #[test]
    fn a_clause_that_stands_in_several_rules_has_one_number() {
        let clauses: Vec<RawClause> = serde_json::from_str(
            r#"[{"attribute":"a","op":"in","values":[1]}, {"attribute":"b","op":"in","values":[1]},
                {"attribute":"a","op":"in","values":[1]}, {"attribute":"a","op":"in","values":[1],"negate":true},
                {"attribute":"c","op":"in","values":["x"]}, {"attribute":"c","op":"in","values":["x"]},
                {"attribute":"a","op":"in","values":[1]}]"#,
        )
        .unwrap();
        assert_eq!(repeated(clauses.iter()), [1, 0, 1, 0, 2, 2, 1]);
    }

    #[test]
    fn dates_are_rfc_3339_with_a_zone_or_nothing() {
        assert_eq!(parse_time_ms("1970-01-01T00:00:01.5Z"), Some(1500.0));
        assert_eq!(parse_time_ms("1970-01-01T01:00:00+01:00"), Some(0.0));
        assert_eq!(parse_time_ms("1970-01-01t00:00:00z"), Some(0.0));
        assert_eq!(parse_time_ms("1970-01-01 00:00:00+00:00"), Some(0.0));
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01_00:00:00Z",
            "hello",
            "1970-13-01T00:00:00Z",
        ] {
            assert_eq!(parse_time_ms(text), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_with_look_around_matches_and_an_impossible_one_never_does() {
        assert!(Pattern::compile("a(?=b)").is_match("xab"));
        assert!(Pattern::compile(r"(a)\1").is_match("baa"));
        assert!(!Pattern::compile("(").is_match("("));
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Pattern::compile(&nested(DEEPEST_GROUP)).is_match("a"));
        assert!(!Pattern::compile(&nested(DEEPEST_GROUP + 1)).is_match("a"));
        assert!(
            !Pattern::compile(r"^(?=a)(a+)+$\1").is_match(&"a".repeat(64)),
            "the step limit ends it"
        );
    }
}
