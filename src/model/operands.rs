//! A clause's operator and operands as they were written, for people to read. Operands that the operator cannot use were
//! left out when the flag arrived.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::clause::{Comparison, Pattern, Test};
use super::value::Value;

/// Doubles beyond this are not all whole numbers that a reader would write as such.
const LARGEST_WHOLE: f64 = 9e15;

impl Test {
    /// The operator's name.
    #[must_use]
    pub fn operator(&self) -> &str {
        match self {
            Test::Segments(_) => "segmentMatch",
            Test::In(_) => "in",
            Test::StartsWith(_) => "startsWith",
            Test::EndsWith(_) => "endsWith",
            Test::Contains(_) => "contains",
            Test::Matches(_) => "matches",
            Test::Number(comparison, _) => match comparison {
                Comparison::Less => "lessThan",
                Comparison::LessOrEqual => "lessThanOrEqual",
                Comparison::Greater => "greaterThan",
                Comparison::GreaterOrEqual | Comparison::Equal => "greaterThanOrEqual",
            },
            Test::Date(Comparison::Less, _) => "before",
            Test::Date(..) => "after",
            Test::Version(Comparison::Less, _) => "semVerLessThan",
            Test::Version(Comparison::Greater, _) => "semVerGreaterThan",
            Test::Version(..) => "semVerEqual",
            Test::Unknown(name) => name,
        }
    }

    /// How many operands there are, and the first of them, at most so many. Texts of `in` come in alphabetical order,
    /// dates as RFC 3339 in UTC.
    #[must_use]
    pub fn operands(&self, most: usize) -> (usize, Vec<Value>) {
        fn first<T>(items: &[T], most: usize, value: impl Fn(&T) -> Value) -> (usize, Vec<Value>) {
            (items.len(), items.iter().take(most).map(value).collect())
        }
        match self {
            Test::Segments(keys) => first(keys, most, |key| Value::from(&**key)),
            Test::In(needles) => {
                let mut texts: Vec<_> = needles.strings.iter().collect();
                let count = texts.len() + needles.others.len();
                texts.sort_unstable();
                let texts = texts.into_iter().map(Value::from);
                let all = texts.chain(needles.others.iter().cloned());
                (count, all.take(most).collect())
            }
            Test::StartsWith(texts) | Test::EndsWith(texts) | Test::Contains(texts) => {
                first(texts, most, |text| Value::from(&**text))
            }
            Test::Matches(patterns) => first(patterns, most, |pattern| {
                Value::from(match pattern {
                    Pattern::Linear(pattern) => pattern.as_str(),
                    Pattern::Backtracking(pattern) => pattern.as_str(),
                    Pattern::Invalid(text) => text,
                })
            }),
            Test::Number(_, numbers) => first(numbers, most, |number| number_of(*number)),
            Test::Date(_, dates) => first(dates, most, |ms| date(*ms)),
            Test::Version(_, versions) => {
                first(versions, most, |version| Value::from(&*version.to_string()))
            }
            Test::Unknown(_) => (0, Vec::new()),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "only whole numbers that fit are cast"
)]
fn number_of(number: f64) -> Value {
    if number.trunc() == number && number.abs() < LARGEST_WHOLE {
        Value::Int(number as i64)
    } else {
        Value::Float(number)
    }
}

/// The date as text; milliseconds beyond the calendar stay a number.
fn date(ms: f64) -> Value {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "out of range it saturates, which is no date either"
    )]
    let nanos = (ms * 1e6) as i128;
    let text = OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|instant| instant.format(&Rfc3339).ok());
    text.map_or_else(|| number_of(ms), |text| Value::from(&*text))
}

#[cfg(test)]
mod tests {
    use crate::model::clause::{Clause, RawClause};

    fn shown(op: &str, values: &str) -> (String, usize, String) {
        let json = format!(r#"{{"attribute":"a","op":"{op}","values":{values}}}"#);
        let clause = Clause::from(serde_json::from_str::<RawClause>(&json).unwrap());
        let (count, first) = clause.test.operands(3);
        let first = crate::model::Value::Array(first.into());
        (clause.test.operator().to_owned(), count, first.to_json())
    }

    #[test]
    fn an_operator_is_shown_under_its_own_name_with_the_operands_that_it_can_use() {
        for (op, values, count, first) in [
            ("segmentMatch", r#"["s"]"#, 1, r#"["s"]"#),
            ("in", r#"[1,"b",null,"a"]"#, 4, r#"["a","b",1]"#),
            ("in", r#"["e","d","c","b","a"]"#, 5, r#"["a","b","c"]"#),
            ("startsWith", r#"["b","a",1]"#, 2, r#"["b","a"]"#),
            ("endsWith", r#"["b"]"#, 1, r#"["b"]"#),
            ("contains", "[]", 0, "[]"),
            (
                "matches",
                r#"["a+","(?=a)","("]"#,
                3,
                r#"["a+","(?=a)","("]"#,
            ),
            ("lessThan", r#"[1,2.5,"3"]"#, 2, "[1,2.5]"),
            ("lessThanOrEqual", "[1e300]", 1, "[1e+300]"),
            ("greaterThan", "[0]", 1, "[0]"),
            ("greaterThanOrEqual", "[0]", 1, "[0]"),
            (
                "before",
                r#"[1500,"no"]"#,
                1,
                r#"["1970-01-01T00:00:01.5Z"]"#,
            ),
            (
                "after",
                r#"["2020-01-01T01:00:00+01:00",1e300]"#,
                2,
                r#"["2020-01-01T00:00:00Z",1e+300]"#,
            ),
            ("semVerEqual", r#"["2","x"]"#, 1, r#"["2.0.0"]"#),
            ("semVerLessThan", r#"["2.1"]"#, 1, r#"["2.1.0"]"#),
            ("semVerGreaterThan", r#"["2.1-a"]"#, 1, r#"["2.1.0-a"]"#),
            ("likes", r#"["x"]"#, 0, "[]"),
        ] {
            assert_eq!(
                shown(op, values),
                (op.to_owned(), count, first.to_owned()),
                "{op} {values}"
            );
        }
    }
}
