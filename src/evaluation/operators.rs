//! Whether one value satisfies an operator with any of its operands. Types never convert: another type never matches.

use std::cmp::Ordering;

use super::Operand;
use crate::model::{Comparison, Pattern, Test, parse_time_ms, parse_version};

/// Whether the value matches any operand. `segmentMatch` is not asked here: it has no value.
pub(super) fn matches(test: &Test, value: Operand<'_>) -> bool {
    match test {
        Test::In(needles) => match value {
            Operand::Str(text) => needles.strings.contains(text),
            other => needles.others.iter().any(|needle| other.equals(needle)),
        },
        Test::StartsWith(prefixes) => text(value, |text| {
            prefixes.iter().any(|prefix| text.starts_with(&**prefix))
        }),
        Test::EndsWith(suffixes) => text(value, |text| {
            suffixes.iter().any(|suffix| text.ends_with(&**suffix))
        }),
        Test::Contains(parts) => text(value, |text| {
            parts.iter().any(|part| text.contains(&**part))
        }),
        Test::Matches(patterns) => text(value, |text| {
            patterns
                .iter()
                .any(|pattern: &Pattern| pattern.is_match(text))
        }),
        Test::Number(comparison, numbers) => value
            .as_f64()
            .is_some_and(|number| any(*comparison, number, numbers)),
        Test::Date(comparison, dates) => {
            let date = match value {
                Operand::Str(text) => parse_time_ms(text),
                other => other.as_f64(),
            };
            date.is_some_and(|date| any(*comparison, date, dates))
        }
        Test::Version(comparison, versions) => text(value, |text| {
            parse_version(text).is_some_and(|version| {
                versions
                    .iter()
                    .any(|other| holds(*comparison, Some(version.cmp_precedence(other))))
            })
        }),
        Test::Segments(_) | Test::Unknown(_) => false,
    }
}

fn text(value: Operand<'_>, test: impl FnOnce(&str) -> bool) -> bool {
    matches!(value, Operand::Str(text) if test(text))
}

fn any(comparison: Comparison, value: f64, operands: &[f64]) -> bool {
    operands
        .iter()
        .any(|operand| holds(comparison, value.partial_cmp(operand)))
}

fn holds(comparison: Comparison, order: Option<Ordering>) -> bool {
    order.is_some_and(|order| match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Equal => order.is_eq(),
    })
}
