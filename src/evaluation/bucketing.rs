//! Which share of a rollout a context falls into: the first 60 bits of a SHA-1, as a number from 0 to 1.

use super::clauses::follow;
use super::observer::Observer;
use super::sha1::Sha1;
use super::{Malformed, Operand, Part, Subject};
use crate::model::{AttributeError, AttributeRef, Choice, Kind, Value};

/// The largest number of 60 bits, by which the hash is divided.
const SCALE: f64 = 0x0FFF_FFFF_FFFF_FFFF_u64 as f64;

/// The variation that is served, and whether as part of an experiment; `None` when there is nothing to choose from.
///
/// # Errors
/// When a rollout goes by what is no attribute reference.
pub(super) fn choose(
    choice: &Choice,
    subject: &impl Subject,
    observer: &mut impl Observer,
) -> Result<Option<(i64, bool)>, Malformed> {
    let rollout = match choice {
        Choice::Variation(index) => return Ok(Some((*index, false))),
        Choice::Rollout(rollout) => rollout,
        Choice::Missing => return Ok(None),
    };
    let Some(last) = rollout.shares.last() else {
        return Ok(None);
    };
    // An experiment always goes by the key.
    let by = if rollout.experiment {
        None
    } else {
        rollout.bucket_by.as_ref()
    };
    let bucket = bucket(&rollout.prefix, subject, &rollout.kind, by).map_err(|_| Malformed)?;
    // Without a part of that kind the first share is served.
    let mut shares = rollout.shares.iter();
    let share = shares.find(|share| bucket.is_none_or(|bucket| bucket < share.end));
    // Weights may add up to less than all, also by rounding: the rest belongs to the last share.
    let share = share.unwrap_or(last);
    observer.bucket(rollout, bucket, share);
    Ok(Some((
        share.variation,
        rollout.experiment && bucket.is_some() && !share.untracked,
    )))
}

/// The bucket from 0 to 1, by what `bucket_prefix` gives and a value; `None` when the subject has no part of that kind. A missing attribute, and one that is
/// neither text nor integer, is 0.
///
/// # Errors
/// When `by` is no attribute reference.
pub fn bucket<S: Subject>(
    prefix: &str,
    subject: &S,
    kind: &Kind,
    by: Option<&Result<AttributeRef, AttributeError>>,
) -> Result<Option<f64>, AttributeError> {
    let Some(part) = subject.part(kind) else {
        return Ok(None);
    };
    let hashed = |id: &str| {
        let mut hash = Sha1::new();
        hash.add(prefix.as_bytes());
        hash.add(id.as_bytes());
        let first = hash.first_half();
        #[allow(clippy::cast_precision_loss, reason = "the service divides doubles")]
        let bucket = (first >> 4) as f64 / SCALE;
        bucket
    };
    let Some(by) = by else {
        return Ok(Some(hashed(part.key())));
    };
    let by = by.as_ref().map_err(|error| *error)?;
    Ok(Some(part.with_attribute(by, |value| {
        match follow(value, by) {
            Some(Operand::Str(text)) => hashed(text),
            Some(Operand::Int(number)) => hashed(&number.to_string()),
            Some(Operand::Value(Value::BigInt(digits))) => hashed(digits),
            _ => 0.0,
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Context;

    fn bucket_of(context: &str, by: Option<&str>) -> f64 {
        let context = Context::from_value(serde_json::from_str(context).unwrap()).unwrap();
        let by = by.map(AttributeRef::parse);
        bucket("roll.s.", &context, &Kind::User, by.as_ref())
            .unwrap()
            .unwrap()
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "buckets are exact")]
    fn buckets_are_those_of_every_other_sdk() {
        assert_eq!(
            bucket_of(r#"{"kind":"user","key":"u"}"#, None),
            0.285_329_396_843_125_9
        );
        assert_eq!(
            bucket_of(r#"{"kind":"user","key":"u","n":33333}"#, Some("n")),
            0.065_488_898_773_956_89
        );
        assert_eq!(
            bucket_of(r#"{"kind":"user","key":"u","n":"33333"}"#, Some("n")),
            0.065_488_898_773_956_89
        );
        for other in ["1.5", "true", "[1]", "null"] {
            assert_eq!(
                bucket_of(
                    &format!(r#"{{"kind":"user","key":"u","n":{other}}}"#),
                    Some("n")
                ),
                0.0
            );
        }
        assert_eq!(bucket_of(r#"{"kind":"user","key":"u"}"#, Some("n")), 0.0);
    }
}
