//! One question for a flag: looked up, evaluated, counted.

use super::big_segments::View;
use super::{Client, Live};
use crate::evaluation::{self, ErrorKind, Outcome, Recorder, evaluate};
use crate::events::{self, Evaluated, Events};
use crate::model::{Flag, Value};
use crate::store::Entry;

/// What a caller asks.
pub struct Question<'a, D> {
    /// The flag's key.
    pub key: &'a str,
    /// The caller's default, asked only when an event must carry it.
    pub default: D,
    /// Whether the caller wants the reason.
    pub with_reason: bool,
    /// What type the value must have.
    pub wanted: Wanted,
}

/// The type that a caller asks for. Another one gives the default with the reason `WRONG_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the flag serves.
    Any,
    /// A boolean.
    Bool,
    /// A number without a fraction, also one written as 3.0. A boolean is no number.
    Int,
    /// Any number.
    Float,
    /// A text.
    Text,
}

impl Wanted {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Bool => matches!(value, Value::Bool(_)),
            #[allow(clippy::float_cmp, reason = "whether there is a fraction at all")]
            Wanted::Int => match value {
                Value::Int(_) | Value::BigInt(_) => true,
                Value::Float(number) => number.trunc() == *number,
                _ => false,
            },
            Wanted::Float => value.as_f64().is_some(),
            Wanted::Text => matches!(value, Value::String(_)),
        }
    }
}

/// What a caller gets.
pub struct Answer<'l> {
    /// The variation and the reason.
    pub outcome: Outcome,
    /// The flag, if there is one.
    pub flag: Option<&'l Flag>,
}

impl<'l> Answer<'l> {
    /// No answer.
    #[must_use]
    pub fn error(kind: ErrorKind) -> Answer<'l> {
        Answer {
            outcome: Outcome::error(kind),
            flag: None,
        }
    }

    /// The value that the flag serves; `None` is the caller's default.
    #[must_use]
    pub fn value(&self) -> Option<&'l Value> {
        self.flag.and_then(|flag| self.outcome.value(flag))
    }
}

impl Client {
    /// Answers a question for a subject, and counts it.
    pub fn answer<'l, S, D>(
        &self,
        live: &'l Live,
        subject: &S,
        question: &Question<'_, D>,
    ) -> Answer<'l>
    where
        S: evaluation::Subject + events::Subject,
        D: Fn() -> Value,
    {
        let mut prerequisites = Prerequisites {
            client: self,
            live,
            subject,
            with_reason: question.with_reason,
        };
        let answer = self.answer_to(live, subject, question, &mut prerequisites);
        if !self.settings.offline {
            self.count(live, |events| {
                events.evaluated(
                    subject,
                    Evaluated {
                        key: question.key,
                        flag: answer.flag,
                        outcome: &answer.outcome,
                        default: &question.default,
                        with_reason: question.with_reason,
                        prerequisite_of: None,
                    },
                );
            });
        }
        answer
    }

    /// Answers a question for a subject without counting it; the recorder is told of the prerequisites on the way.
    #[allow(
        clippy::inline_always,
        reason = "it is most of the hot path, and its other caller is rare"
    )]
    #[inline(always)]
    pub fn answer_to<'l, S, D>(
        &self,
        live: &'l Live,
        subject: &S,
        question: &Question<'_, D>,
        recorder: &mut dyn Recorder,
    ) -> Answer<'l>
    where
        S: evaluation::Subject,
    {
        self.answer_by(live, question.key, question.wanted, |flag| {
            let big_segments = View::new(self, live);
            evaluate(
                flag,
                subject,
                &*live.snapshot,
                Some(&big_segments),
                recorder,
            )
        })
    }

    /// Answers a question whose flag, if there is one, is evaluated by the caller.
    #[allow(
        clippy::inline_always,
        reason = "it is most of the hot path, and its other caller is rare"
    )]
    #[inline(always)]
    pub(super) fn answer_by<'l>(
        &self,
        live: &'l Live,
        key: &str,
        wanted: Wanted,
        evaluate: impl FnOnce(&'l Flag) -> Outcome,
    ) -> Answer<'l> {
        if self.settings.offline {
            return Answer::error(ErrorKind::ClientNotReady);
        }
        match live.snapshot.flag_entry(key) {
            Some(Entry::Live(flag)) => {
                let outcome = evaluate(flag);
                match outcome.value(flag) {
                    Some(value) if !wanted.accepts(value) => Answer {
                        outcome: Outcome::error(ErrorKind::WrongType),
                        flag: Some(flag),
                    },
                    _ => Answer {
                        outcome,
                        flag: Some(flag),
                    },
                }
            }
            Some(Entry::Malformed { .. }) => Answer::error(ErrorKind::MalformedFlag),
            _ if !live.snapshot.initialized() => Answer::error(ErrorKind::ClientNotReady),
            // As launchdarkly-server-sdk 9.20: nobody can tell whether there is such a flag.
            _ if live.is_mute() => Answer::error(ErrorKind::Exception),
            _ => Answer::error(ErrorKind::FlagNotFound),
        }
    }

    /// Counts in this process: a big segment store that was asked on the way may have forked it.
    #[inline]
    fn count(&self, live: &Live, count: impl FnOnce(&Events)) {
        if live.is_here() {
            live.runtime.events().map(count);
        } else {
            self.live().runtime.events().map(count);
        }
    }
}

/// Counts the prerequisites on the way.
struct Prerequisites<'a, S> {
    client: &'a Client,
    live: &'a Live,
    subject: &'a S,
    with_reason: bool,
}

impl<S: events::Subject> Recorder for Prerequisites<'_, S> {
    fn evaluated(&mut self, prerequisite: &Flag, of: &Flag, outcome: &Outcome) {
        self.client.count(self.live, |events| {
            events.evaluated(
                self.subject,
                Evaluated {
                    key: &prerequisite.key,
                    flag: Some(prerequisite),
                    outcome,
                    default: || Value::Null,
                    with_reason: self.with_reason,
                    prerequisite_of: Some(&of.key),
                },
            );
        });
    }
}
