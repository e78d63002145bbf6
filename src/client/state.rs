//! The state of all flags for one subject, as the JavaScript SDK bootstraps from it.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::big_segments::View;
use super::{Client, Live};
use crate::evaluation::{Outcome, Recorder, Subject, evaluate};
use crate::model::{Flag, Value};
use crate::store::{Entry, Snapshot};

/// Which flags, and how much of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateOptions {
    /// Only flags that client-side SDKs may see.
    pub client_side_only: bool,
    /// With the reason of each.
    pub with_reasons: bool,
    /// Versions and reasons only where events need them.
    pub details_only_for_tracked_flags: bool,
}

/// The state of all flags; empty and invalid where there could be none.
#[derive(Clone, Default)]
pub struct FlagsState {
    /// Keeps the values alive that the states refer to.
    snapshot: Option<Arc<Snapshot>>,
    flags: Vec<FlagState>,
}

/// The state of one flag.
#[derive(Clone, Debug)]
pub struct FlagState {
    key: Box<str>,
    outcome: Outcome,
    prerequisites: Vec<Box<str>>,
    with_reason: bool,
    with_details: bool,
}

/// A flag's state together with the flag.
pub struct FlagView<'s> {
    state: &'s FlagState,
    flag: Option<&'s Flag>,
}

impl Client {
    /// The state of all flags for the subject. Sends no event.
    pub fn flags_state(
        &self,
        live: &Live,
        subject: &impl Subject,
        options: StateOptions,
        now_ms: i64,
    ) -> FlagsState {
        if self.settings.offline || !live.snapshot.initialized() {
            return FlagsState::default();
        }
        let snapshot = &live.snapshot;
        if snapshot.size().0 == 0 && live.is_mute() {
            // That there are no flags is more than anyone knows.
            return FlagsState::default();
        }
        let big_segments = View::new(self, live);
        let mut flags = Vec::with_capacity(snapshot.size().0);
        for item in snapshot.flags() {
            let state = match &item.entry {
                Entry::Live(flag) if options.client_side_only && !flag.client_side => continue,
                Entry::Live(flag) => {
                    let mut asked = Asked {
                        flag: &flag.key,
                        prerequisites: Vec::new(),
                    };
                    let outcome =
                        evaluate(flag, subject, &**snapshot, Some(&big_segments), &mut asked);
                    let tracked = flag.track_events
                        || outcome.is_experiment(flag)
                        || flag
                            .debug_events_until_ms
                            .is_some_and(|until| until > now_ms);
                    FlagState {
                        key: item.key.clone(),
                        outcome,
                        prerequisites: asked.prerequisites,
                        with_reason: options.with_reasons || outcome.is_experiment(flag),
                        with_details: tracked || !options.details_only_for_tracked_flags,
                    }
                }
                // It cannot be told whether client-side SDKs may see a malformed flag.
                Entry::Malformed { .. } | Entry::Deleted { .. } => continue,
            };
            flags.push(state);
        }
        FlagsState {
            snapshot: Some(snapshot.clone()),
            flags,
        }
    }
}

/// Notes the prerequisites of the flag itself, not those further down.
struct Asked<'a> {
    flag: &'a str,
    prerequisites: Vec<Box<str>>,
}

impl Recorder for Asked<'_> {
    fn asked(&mut self, key: &str, of: &Flag) {
        if *of.key == *self.flag {
            self.prerequisites.push(key.into());
        }
    }
}

impl FlagsState {
    /// Whether it is the state of anything.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.snapshot.is_some()
    }

    /// All flags.
    pub fn flags(&self) -> impl Iterator<Item = FlagView<'_>> {
        self.flags.iter().map(|state| self.view(state))
    }

    /// One flag.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<FlagView<'_>> {
        self.flags
            .iter()
            .find(|state| *state.key == *key)
            .map(|state| self.view(state))
    }

    fn view<'s>(&'s self, state: &'s FlagState) -> FlagView<'s> {
        let flag =
            self.snapshot
                .as_ref()
                .and_then(|snapshot| match snapshot.flag_entry(&state.key) {
                    Some(Entry::Live(flag)) => Some(flag),
                    _ => None,
                });
        FlagView { state, flag }
    }

    /// The JSON that the JavaScript SDK bootstraps from.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

impl<'s> FlagView<'s> {
    /// The flag's key.
    #[must_use]
    pub fn key(&self) -> &'s str {
        &self.state.key
    }

    /// Its value; null where it has none.
    #[must_use]
    pub fn value(&self) -> &'s Value {
        static NULL: Value = Value::Null;
        self.flag
            .and_then(|flag| self.state.outcome.value(flag))
            .unwrap_or(&NULL)
    }

    /// The reason, if it is part of the state.
    #[must_use]
    pub fn reason(&self) -> Option<(&'s Outcome, Option<&'s Flag>)> {
        (self.state.with_reason && self.state.with_details)
            .then_some((&self.state.outcome, self.flag))
    }

    /// All that is told of the flag besides its value, as a JSON value.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let mut members: Vec<(Box<str>, Value)> = Vec::with_capacity(7);
        self.each_member(|name, member| {
            members.push((name.into(), member.value()));
        });
        Value::Object(members.into())
    }

    /// The members of that value, in order.
    fn each_member(&self, mut member: impl FnMut(&'static str, Member<'_>)) {
        let Some(flag) = self.flag else {
            return;
        };
        let (state, outcome) = (self.state, &self.state.outcome);
        let experiment = outcome.is_experiment(flag);
        if let Some((outcome, flag)) = self.reason() {
            member("reason", Member::Reason(outcome, flag));
        }
        if state.with_details {
            member("version", Member::Int(flag.version));
        }
        if !state.prerequisites.is_empty() {
            member("prerequisites", Member::Keys(&state.prerequisites));
        }
        if let Some(variation) = outcome
            .variation
            .and_then(|index| i64::try_from(index).ok())
        {
            member("variation", Member::Int(variation));
        }
        if flag.track_events || experiment {
            member("trackEvents", Member::True);
        }
        if experiment {
            member("trackReason", Member::True);
        }
        if let Some(until) = flag.debug_events_until_ms {
            member("debugEventsUntilDate", Member::Int(until));
        }
    }
}

/// Something that is told of a flag besides its value.
enum Member<'a> {
    Reason(&'a Outcome, Option<&'a Flag>),
    Int(i64),
    True,
    Keys(&'a [Box<str>]),
}

impl Member<'_> {
    fn value(&self) -> Value {
        match self {
            Member::Reason(outcome, flag) => outcome.reason_value(*flag),
            Member::Int(number) => Value::Int(*number),
            Member::True => Value::Bool(true),
            Member::Keys(keys) => {
                Value::Array(keys.iter().map(|key| Value::String(key.clone())).collect())
            }
        }
    }
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Member::Reason(outcome, flag) => outcome.reason_value(*flag).serialize(serializer),
            Member::Int(number) => serializer.serialize_i64(*number),
            Member::True => serializer.serialize_bool(true),
            Member::Keys(keys) => serializer.collect_seq(keys.iter()),
        }
    }
}

/// Writes what is told of a flag without making a value of it.
struct About<'s>(FlagView<'s>);

impl Serialize for About<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut result = Ok(());
        self.0.each_member(|name, member| {
            if result.is_ok() {
                result = map.serialize_entry(name, &member);
            }
        });
        result?;
        map.end()
    }
}

impl Serialize for FlagsState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.flags.len() + 2))?;
        for flag in self.flags() {
            map.serialize_entry(flag.key(), flag.value())?;
        }
        map.serialize_entry("$flagsState", &Metadata(self))?;
        map.serialize_entry("$valid", &self.is_valid())?;
        map.end()
    }
}

struct Metadata<'s>(&'s FlagsState);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.flags().map(|flag| (flag.key(), About(flag))))
    }
}
