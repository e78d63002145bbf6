//! What holds for any input: nothing private is sent, the books balance.

use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::super::fakes::*;
use super::super::{Custom, Settings};
use super::*;
use crate::model::{Context, Value};

#[derive(Clone, Debug)]
enum Step {
    Identify(u8),
    Track(u8),
    Evaluate(u8, bool),
    Flush(Vec<Option<u16>>),
    Take,
    Close,
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        Just(None),
        (0..6_usize).prop_map(|n| Some([200, 202, 401, 429, 500, 413][n]))
    ];
    prop_oneof![
        4 => any::<u8>().prop_map(Step::Identify),
        4 => any::<u8>().prop_map(Step::Track),
        8 => (any::<u8>(), any::<bool>()).prop_map(|(n, tracked)| Step::Evaluate(n, tracked)),
        4 => proptest::collection::vec(answer, 0..4).prop_map(Step::Flush),
        1 => Just(Step::Take),
        1 => Just(Step::Close),
        1 => Just(Step::Abandon),
    ]
}

/// A JSON value whose every text is a secret of its own, with the paths of the texts.
fn secrets(shape: &Shape, path: &[String], found: &mut Vec<(Vec<String>, String)>) -> Value {
    match shape {
        Shape::Leaf => {
            let secret = format!("secret-{}-end", found.len());
            found.push((path.to_vec(), secret.clone()));
            Value::from(&*secret)
        }
        Shape::Array(items) => {
            // A reference cannot reach into an array: its texts belong to the attribute that holds it.
            Value::Array(
                items
                    .iter()
                    .map(|item| secrets_at(item, path, found))
                    .collect(),
            )
        }
        Shape::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| {
                    (
                        name.as_str().into(),
                        secrets(member, &[path, std::slice::from_ref(name)].concat(), found),
                    )
                })
                .collect(),
        ),
    }
}

fn secrets_at(shape: &Shape, path: &[String], found: &mut Vec<(Vec<String>, String)>) -> Value {
    let start = found.len();
    let value = secrets(shape, path, found);
    for (place, _) in &mut found[start..] {
        *place = path.to_vec();
    }
    value
}

#[derive(Clone, Debug)]
enum Shape {
    Leaf,
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

const NAMES: [&str; 6] = ["a", "b", "c", "/x", "y~z", "name"];

fn shape() -> impl Strategy<Value = Shape> {
    Just(Shape::Leaf).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Shape::Array),
            members(inner).prop_map(Shape::Object),
        ]
    })
}

fn members(inner: impl Strategy<Value = Shape>) -> impl Strategy<Value = Vec<(String, Shape)>> {
    proptest::collection::btree_map(proptest::sample::select(&NAMES[..5]), inner, 0..4).prop_map(
        |members| {
            members
                .into_iter()
                .map(|(name, shape)| (name.to_owned(), shape))
                .collect()
        },
    )
}

fn reference() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn written(reference: &[String]) -> String {
    reference
        .iter()
        .flat_map(|name| ["/".to_owned(), name.replace('~', "~0").replace('/', "~1")])
        .collect()
}

#[derive(Clone, Debug)]
struct Rules {
    global: Vec<Vec<String>>,
    own: Vec<Vec<String>>,
    public: Option<Vec<Vec<String>>>,
    all: bool,
    anonymous: bool,
}

fn rules() -> impl Strategy<Value = Rules> {
    let references = || proptest::collection::vec(reference(), 0..3);
    (
        references(),
        references(),
        proptest::option::weighted(0.3, references()),
        proptest::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(|(global, own, public, all, anonymous)| Rules {
            global,
            own,
            public,
            all,
            anonymous,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_private_value_is_ever_sent_and_every_public_one_is(attributes in members(shape()), rules in rules(), multi in any::<bool>()) {
        let mut found = vec![(vec!["name".to_owned()], "secret-0-end".to_owned())];
        let attributes = attributes.iter()
            .map(|(name, shape)| (name.as_str().into(), secrets(shape, std::slice::from_ref(name), &mut found)))
            .collect();
        let texts = |references: &[Vec<String>]| references.iter().map(|r| written(r)).collect::<Vec<_>>();
        let parts = crate::model::Parts {
            key: "k".into(),
            name: Some("secret-0-end".into()),
            anonymous: rules.anonymous,
            attributes,
            private: texts(&rules.own).into_iter().map(Into::into).collect(),
        };
        let mut individuals = vec![crate::model::Individual::new("user", parts).unwrap()];
        if multi {
            let other = crate::model::Parts { key: "o".into(), ..Default::default() };
            individuals.push(crate::model::Individual::new("org", other).unwrap());
        }
        let someone = Arc::new(Context::new(individuals).unwrap());
        let mut bench = bench(&Settings {
            all_attributes_private: rules.all,
            private_attributes: texts(&rules.global),
            public_attributes: rules.public.as_deref().map(texts),
            ..settings()
        });
        let flag = flag(0, r#"{"key":"f","variations":[1],"trackEvents":true,"debugEventsUntilDate":9e9}"#);
        bench.evaluated(&someone, &flag, &served(0));
        bench.recorder.identify(someone.clone());
        bench.recorder.track(Custom::new("t"), &someone);
        bench.recorder.migration_op(&someone, Value::Object([].into()), None);
        let events = bench.flush();
        prop_assert_eq!(kinds(&events), ["index", "feature", "debug", "identify", "custom", "migration_op", "summary"]);
        for event in &events {
            let text = event.to_string();
            let kind = event["kind"].as_str().unwrap();
            let hides_anonymous = rules.anonymous && ["feature", "custom", "migration_op"].contains(&kind);
            for (path, secret) in &found {
                let named = |references: &[Vec<String>]| references.iter().any(|r| path.starts_with(r));
                let allowed = match &rules.public {
                    Some(public) => named(public),
                    None => !rules.all,
                };
                let public = allowed && !named(&rules.global) && !named(&rules.own) && !hides_anonymous && kind != "summary";
                prop_assert_eq!(text.contains(&**secret), public, "{} {:?} {}", kind, path, text);
            }
        }
    }

    #[test]
    fn the_books_balance_after_every_step(steps in proptest::collection::vec(step(), 1..60)) {
        let mut bench = bench(&Settings { capacity: 5, context_keys_capacity: 3, ..settings() });
        let flags = [flag(0, PLAIN), flag(0, TRACKED)];
        for step in steps {
            let someone = |n: u8| context(&format!(r#"{{"kind":"user","key":"u{}"}}"#, n % 8));
            match step {
                Step::Identify(n) => _ = bench.recorder.identify(someone(n)),
                Step::Track(n) => _ = bench.recorder.track(Custom::new("t"), &someone(n)),
                Step::Evaluate(n, tracked) => bench.evaluated(&someone(n), &flags[usize::from(tracked)], &served(usize::from(n % 2))),
                Step::Flush(answers) => {
                    let answers = answers.into_iter().map(|answer| answer.map_or(Err("gone".to_owned()), status));
                    *bench.service.script.lock().unwrap() = answers.collect();
                    bench.delivery.flush(Instant::now());
                    prop_assert_eq!(bench.recorder.books().0.pending, 0);
                }
                Step::Take => {
                    let batch = bench.recorder.take();
                    let events = batch.events.len() as u64 + u64::from(batch.summary.is_some());
                    balance(&bench.recorder.books().0);
                    bench.recorder.settle(events, None);
                }
                Step::Close => bench.recorder.close(),
                Step::Abandon => bench.recorder.abandon(),
            }
            let ledger = bench.recorder.books().0;
            balance(&ledger);
            prop_assert!(ledger.pending <= 5);
        }
    }
}
