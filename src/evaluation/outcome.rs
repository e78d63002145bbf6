//! What an evaluation answers: which variation, and why. Small and copied freely; the texts are the flag's own.

use crate::model::{Flag, Value};

/// The answer of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The variation's index, always within the flag's variations; `None` is the caller's default.
    pub variation: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// What is known of big segments, when one was asked.
    pub big_segments: Option<BigSegmentsStatus>,
}

/// Why a variation was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The flag is off.
    Off,
    /// Nothing else matched.
    Fallthrough {
        /// Whether the context is part of an experiment.
        in_experiment: bool,
    },
    /// The context's key is a target.
    TargetMatch,
    /// A rule matched.
    RuleMatch {
        /// The rule's position; it exists in the flag.
        index: usize,
        /// Whether the context is part of an experiment.
        in_experiment: bool,
    },
    /// A prerequisite is off, missing, or serves another variation.
    PrerequisiteFailed {
        /// The prerequisite's position; it exists in the flag.
        index: usize,
    },
    /// There was no answer.
    Error(ErrorKind),
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No data has arrived yet, or the client is offline.
    ClientNotReady,
    /// There is no such flag.
    FlagNotFound,
    /// The flag's data cannot be evaluated.
    MalformedFlag,
    /// There is no valid context.
    UserNotSpecified,
    /// The value has another type than the caller asked for.
    WrongType,
    /// Something outside the engine raised an error.
    Exception,
}

impl ErrorKind {
    /// The service's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::ClientNotReady => "CLIENT_NOT_READY",
            ErrorKind::FlagNotFound => "FLAG_NOT_FOUND",
            ErrorKind::MalformedFlag => "MALFORMED_FLAG",
            ErrorKind::UserNotSpecified => "USER_NOT_SPECIFIED",
            ErrorKind::WrongType => "WRONG_TYPE",
            ErrorKind::Exception => "EXCEPTION",
        }
    }
}

/// How much an answer about big segments is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BigSegmentsStatus {
    /// The store answered and is up to date.
    Healthy,
    /// The store answered with data that may be old.
    Stale,
    /// There is no store.
    NotConfigured,
    /// The store failed.
    StoreError,
}

impl BigSegmentsStatus {
    /// The service's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BigSegmentsStatus::Healthy => "HEALTHY",
            BigSegmentsStatus::Stale => "STALE",
            BigSegmentsStatus::NotConfigured => "NOT_CONFIGURED",
            BigSegmentsStatus::StoreError => "STORE_ERROR",
        }
    }
}

impl Outcome {
    /// An answer without big segments.
    #[must_use]
    pub fn new(variation: Option<usize>, reason: Reason) -> Outcome {
        Outcome {
            variation,
            reason,
            big_segments: None,
        }
    }

    /// No answer.
    #[must_use]
    pub fn error(kind: ErrorKind) -> Outcome {
        Outcome::new(None, Reason::Error(kind))
    }

    /// The value that the flag serves; `None` is the caller's default.
    #[must_use]
    pub fn value<'f>(&self, flag: &'f Flag) -> Option<&'f Value> {
        flag.variations.get(self.variation?)
    }

    /// Whether the evaluation counts for an experiment, so that its event carries the reason.
    #[must_use]
    pub fn is_experiment(&self, flag: &Flag) -> bool {
        match self.reason {
            Reason::Fallthrough { in_experiment } => in_experiment || flag.track_events_fallthrough,
            Reason::RuleMatch {
                index,
                in_experiment,
            } => in_experiment || flag.rules.get(index).is_some_and(|rule| rule.track_events),
            _ => false,
        }
    }

    /// The members of the reason in the service's JSON form, in its order, as (name, value).
    /// `flag` is the flag that was evaluated, if there was one.
    pub fn each_member(
        &self,
        flag: Option<&Flag>,
        mut member: impl FnMut(&'static str, ReasonValue<'_>),
    ) {
        use ReasonValue::{Bool, Int, Text};
        let mut experiment = false;
        match self.reason {
            Reason::Off => member("kind", Text("OFF")),
            Reason::TargetMatch => member("kind", Text("TARGET_MATCH")),
            Reason::Fallthrough { in_experiment } => {
                member("kind", Text("FALLTHROUGH"));
                experiment = in_experiment;
            }
            Reason::RuleMatch {
                index,
                in_experiment,
            } => {
                member("kind", Text("RULE_MATCH"));
                member("ruleIndex", Int(index));
                match flag
                    .and_then(|f| f.rules.get(index))
                    .and_then(|rule| rule.id.as_deref())
                {
                    Some(id) => member("ruleId", Text(id)),
                    None => member("ruleId", ReasonValue::Null),
                }
                experiment = in_experiment;
            }
            Reason::PrerequisiteFailed { index } => {
                member("kind", Text("PREREQUISITE_FAILED"));
                if let Some(prerequisite) = flag.and_then(|f| f.prerequisites.get(index)) {
                    member("prerequisiteKey", Text(&prerequisite.key));
                }
            }
            Reason::Error(kind) => {
                member("kind", Text("ERROR"));
                member("errorKind", Text(kind.as_str()));
            }
        }
        if experiment {
            member("inExperiment", Bool(true));
        }
        if let Some(status) = self.big_segments {
            member("bigSegmentsStatus", Text(status.as_str()));
        }
    }

    /// The reason as a JSON value.
    #[must_use]
    pub fn reason_value(&self, flag: Option<&Flag>) -> Value {
        let mut members: Vec<(Box<str>, Value)> = Vec::with_capacity(4);
        self.each_member(flag, |name, value| {
            let value = match value {
                ReasonValue::Text(text) => text.into(),
                ReasonValue::Int(n) => Value::Int(i64::try_from(n).unwrap_or(i64::MAX)),
                ReasonValue::Bool(b) => b.into(),
                ReasonValue::Null => Value::Null,
            };
            members.push((name.into(), value));
        });
        Value::Object(members.into())
    }
}

/// The value of a member of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonValue<'a> {
    /// A text.
    Text(&'a str),
    /// A position.
    Int(usize),
    /// A mark.
    Bool(bool),
    /// Known to be absent.
    Null,
}
