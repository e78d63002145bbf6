//! Why a client answers what it answers, for people. Nothing is counted and nothing is logged.

use serde::Serialize;

use super::big_segments::View;
use super::{Answer, Client, Live, Wanted};
use crate::evaluation::{ErrorKind, ExplainedFlag, Subject, explain};
use crate::model::Value;
use crate::store::Entry;

/// An answer with everything that led to it. As JSON it has all its members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The key that was asked for.
    pub key: Box<str>,
    /// The version of the flag's data; null where there is no flag.
    pub version: Option<i64>,
    /// The value; null where the caller's default is served.
    pub value: Value,
    /// The index of the value; null for the caller's default.
    pub variation: Option<usize>,
    /// Why, as `variation_detail` tells.
    pub reason: Value,
    /// The evaluation of the flag; null where there was none.
    pub flag: Option<ExplainedFlag>,
    /// What is wrong with the flag's data, where it could not even be read.
    pub problem: Option<Box<str>>,
}

impl Client {
    /// Explains what `answer` says to the same question.
    pub fn explain(&self, live: &Live, key: &str, subject: &impl Subject) -> Explanation {
        let mut explained = None;
        let answer = self.answer_by(live, key, Wanted::Any, |flag| {
            let big_segments = View::new(self, live);
            let (outcome, steps) = explain(flag, subject, &*live.snapshot, Some(&big_segments));
            explained = Some(steps);
            outcome
        });
        let mut explanation = Explanation::new(key, &answer);
        explanation.flag = explained;
        if let Some(Entry::Malformed { version, error }) = live.snapshot.flag_entry(key)
            && !self.settings.offline
        {
            explanation.version = Some(*version);
            explanation.problem = Some(error.clone());
        }
        explanation
    }

    /// Explains why nobody in particular gets no answer.
    #[must_use]
    pub fn explain_to_nobody(&self, live: &Live, key: &str) -> Explanation {
        // As launchdarkly-server-sdk 9.20: before there is data, the context is not looked at.
        let kind = if self.settings.offline || !live.snapshot.initialized() {
            ErrorKind::ClientNotReady
        } else {
            ErrorKind::UserNotSpecified
        };
        Explanation::new(key, &Answer::error(kind))
    }
}

impl Explanation {
    fn new(key: &str, answer: &Answer<'_>) -> Explanation {
        Explanation {
            key: key.into(),
            version: answer.flag.map(|flag| flag.version),
            value: answer.value().cloned().unwrap_or_default(),
            variation: answer.outcome.variation,
            reason: answer.outcome.reason_value(answer.flag),
            flag: None,
            problem: None,
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned())
    }
}
