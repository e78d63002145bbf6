//! What must hold for whatever arrives: values, flags, contexts and patches made up at random.
//! What single inputs must answer is told by `tests/cases`.

mod explained;

use std::collections::HashSet;

use ldclient::evaluation::{Reason, bucket, evaluate, explain};
use ldclient::model::{AttributeRef, Context, Kind, Value, bucket_prefix};
use ldclient::store::{Applied, Change, DataKind, Entry, Snapshot};
use proptest::prelude::*;

use explained::contradiction;

/// Any JSON value, small enough to read.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-3_i64..4).prop_map(Value::Int),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |n| n.is_finite())
            .prop_map(Value::Float),
        (i128::from(i64::MAX) + 1..=i128::from(u64::MAX))
            .prop_map(|n| Value::BigInt(n.to_string().into())),
        any::<String>().prop_map(|text| Value::String(text.into())),
        word().prop_map(|text| Value::String(text.into())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| Value::Array(items.into())),
            members(prop_oneof![word(), any::<String>()].boxed(), inner.boxed()),
        ]
    })
}

/// Words of the data model, so that made up data gets past the first question.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(
        "key kind user org multi name anonymous _meta a /a/b in matches segmentMatch before after lessThan \
         semVerEqual contains startsWith experiment rollout f g s ( a+ (?=a)\\1 2020-01-01T00:00:00Z 1.2 // /a~2"
            .split(' ')
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    )
}

fn members(names: BoxedStrategy<String>, values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec((names, values), 0..5)
        .prop_map(|members| {
            let mut seen = HashSet::new();
            Value::Object(
                members
                    .into_iter()
                    .filter(|(name, _)| seen.insert(name.clone()))
                    .map(|(name, value)| (name.into(), value))
                    .collect(),
            )
        })
        .boxed()
}

/// An object in which each of the members is what it should be, or missing, or now and then anything.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    fields
        .into_iter()
        .map(|(name, good)| {
            prop_oneof![
                12 => good.prop_map(Some),
                4 => Just(None),
                1 => json().prop_map(Some),
            ]
            .prop_map(move |value| value.map(|value| (name.into(), value)))
        })
        .collect::<Vec<_>>()
        .prop_map(|members| Value::Object(members.into_iter().flatten().collect()))
        .boxed()
}

fn list(of: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec(of, 0..3)
        .prop_map(|items| Value::Array(items.into()))
        .boxed()
}

fn text() -> BoxedStrategy<Value> {
    word().prop_map(|text| Value::String(text.into())).boxed()
}

fn index() -> BoxedStrategy<Value> {
    prop_oneof![(-1_i64..4), any::<i64>()]
        .prop_map(Value::Int)
        .boxed()
}

fn truth() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(Value::Bool).boxed()
}

fn clause() -> BoxedStrategy<Value> {
    object(vec![
        ("contextKind", text()),
        ("attribute", text()),
        ("op", text()),
        ("values", list(prop_oneof![text(), json()].boxed())),
        ("negate", truth()),
    ])
}

fn choice() -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let share = object(vec![
        ("variation", index()),
        ("weight", index()),
        ("untracked", truth()),
    ]);
    let rollout = object(vec![
        ("kind", text()),
        ("contextKind", text()),
        ("bucketBy", text()),
        ("seed", index()),
        ("variations", list(share)),
    ]);
    vec![("variation", index()), ("rollout", rollout)]
}

fn flag() -> BoxedStrategy<Value> {
    let target = || {
        list(object(vec![
            ("contextKind", text()),
            ("variation", index()),
            ("values", list(text())),
        ]))
    };
    let rule = [vec![("id", text()), ("clauses", list(clause()))], choice()].concat();
    object(vec![
        ("on", Just(Value::Bool(true)).boxed()),
        ("version", index()),
        ("salt", text()),
        ("variations", list(json().boxed())),
        ("offVariation", index()),
        ("fallthrough", object(choice())),
        (
            "prerequisites",
            list(object(vec![("key", text()), ("variation", index())])),
        ),
        ("targets", target()),
        ("contextTargets", target()),
        ("rules", list(object(rule))),
    ])
}

fn segment() -> BoxedStrategy<Value> {
    let targets = || {
        list(object(vec![
            ("contextKind", text()),
            ("values", list(text())),
        ]))
    };
    let rule = object(vec![
        ("clauses", list(clause())),
        ("weight", index()),
        ("bucketBy", text()),
        ("rolloutContextKind", text()),
    ]);
    object(vec![
        ("included", list(text())),
        ("excluded", list(text())),
        ("includedContexts", targets()),
        ("excludedContexts", targets()),
        ("rules", list(rule)),
        ("unbounded", truth()),
        ("generation", index()),
    ])
}

fn named(kinds: &'static str, items: &BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let names: Vec<_> = kinds.split(' ').collect();
    names
        .into_iter()
        .map(|name| items.clone().prop_map(move |item| (name.into(), item)))
        .collect::<Vec<_>>()
        .prop_map(|members| Value::Object(members.into()))
        .boxed()
}

fn context() -> BoxedStrategy<Value> {
    let part = || {
        object(vec![
            ("key", text()),
            ("kind", text()),
            ("name", text()),
            ("anonymous", truth()),
            ("a", json().boxed()),
            ("_meta", object(vec![("privateAttributes", list(text()))])),
        ])
    };
    prop_oneof![
        4 => part(),
        2 => (part(), part()).prop_map(|(user, org)| {
            Value::Object([("kind".into(), "multi".into()), ("user".into(), user), ("org".into(), org)].into())
        }),
        1 => json(),
    ]
    .boxed()
}

fn next(snapshot: &Snapshot, change: Change) -> Option<Snapshot> {
    match snapshot.apply(change) {
        Applied::New(snapshot) => Some(snapshot),
        Applied::Same | Applied::Older => None,
    }
}

fn full(json: &str) -> Snapshot {
    next(
        &Snapshot::empty(),
        Change::full(json.as_bytes()).expect("data"),
    )
    .expect("full data is always new")
}

/// A version of one of three flags: what it is tells the version.
#[derive(Clone, Debug)]
struct Patch {
    flag: usize,
    version: i64,
    shape: u8,
}

impl Patch {
    fn change(&self) -> Change {
        let (key, version) = (["a", "b", "c"][self.flag], self.version);
        let kind = DataKind::Flag;
        match self.shape {
            0 => Change::delete(kind, key, version),
            1 => Change::upsert(kind, key, &format!(r#"{{"version":{version},"on":3}}"#))
                .expect("object"),
            2 => Change::upsert(
                kind,
                key,
                &format!(r#"{{"version":{version},"deleted":true}}"#),
            )
            .expect("object"),
            _ => Change::upsert(
                kind,
                key,
                &format!(r#"{{"version":{version},"salt":"{version}"}}"#),
            )
            .expect("object"),
        }
    }
}

/// What a snapshot says, as text.
fn content(snapshot: &Snapshot) -> Vec<String> {
    ["a", "b", "c"]
        .map(|key| match snapshot.flag_entry(key) {
            None => "unknown".to_owned(),
            Some(Entry::Deleted { version }) => format!("deleted {version}"),
            Some(Entry::Malformed { version, .. }) => format!("malformed {version}"),
            Some(Entry::Live(flag)) => format!("live {} {}", flag.version, flag.salt),
        })
        .into()
}

proptest! {
    // What once failed becomes a test or a case of its own instead of a line in a file of seeds.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_comes_back_from_its_own_json(value in json()) {
        let text = value.to_json();
        let back: Value = serde_json::from_str(&text).expect("its own JSON");
        prop_assert_eq!(back.to_json(), text);
        prop_assert_eq!(back, value);
    }

    #[test]
    fn a_value_equals_itself_and_equality_has_no_direction(a in json(), b in json()) {
        prop_assert_eq!(&a, &a.clone());
        prop_assert_eq!(a == b, b == a);
    }

    #[test]
    fn a_context_comes_back_from_its_own_json(value in context()) {
        if let Ok(context) = Context::from_value(value) {
            let back = Context::from_value(context.to_value()).expect("its own JSON");
            prop_assert_eq!(back.fully_qualified_key(), context.fully_qualified_key());
            prop_assert_eq!(back, context);
        }
    }

    #[test]
    fn an_attribute_reference_is_read_back_from_its_text(text in "[/~01ab]{0,8}") {
        if let Ok(reference) = AttributeRef::literal(&text) {
            let back = AttributeRef::parse(reference.as_str()).expect("its own text");
            prop_assert_eq!(back.components(), &[text.clone().into_boxed_str()]);
        }
        if let Ok(reference) = AttributeRef::parse(&text) {
            prop_assert_eq!(reference.as_str(), &*text);
            prop_assert!(reference.components().iter().all(|name| !name.is_empty()));
        }
    }

    #[test]
    fn any_text_is_data_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), text in json()) {
        for json in [&bytes[..], text.to_json().as_bytes()] {
            let _ = Change::full(json);
            let _ = Change::put(json);
        }
        let _ = Change::upsert(DataKind::Flag, "f", &text.to_json());
        let _ = Change::upsert(DataKind::Segment, "s", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn every_flag_answers_every_context(
        flags in named("f g a user", &flag()),
        segments in named("s in a", &segment()),
        context in context(),
    ) {
        let data = format!(r#"{{"flags":{},"segments":{}}}"#, flags.to_json(), segments.to_json());
        let snapshot = full(&data);
        let Ok(context) = Context::from_value(context) else { return Ok(()) };
        for item in snapshot.flags() {
            let Entry::Live(flag) = &item.entry else { continue };
            let outcome = evaluate(flag, &context, &snapshot, None, &mut ());
            // A variation exists in the flag; an error has none; only off and a failed prerequisite may have none else.
            prop_assert_eq!(outcome.variation.is_some(), outcome.value(flag).is_some());
            match outcome.reason {
                Reason::Error(_) => prop_assert!(outcome.variation.is_none()),
                Reason::Off | Reason::PrerequisiteFailed { .. } => {
                    prop_assert!(outcome.variation.is_some() || flag.off_variation.is_none());
                }
                _ => prop_assert!(outcome.variation.is_some()),
            }
            prop_assert!(outcome.reason_value(Some(flag)).member("kind").is_some());
            prop_assert_eq!(outcome, evaluate(flag, &context, &snapshot, None, &mut ()));
            let (explained, steps) = explain(flag, &context, &snapshot, None);
            prop_assert_eq!(explained, outcome);
            if let Some(contradiction) = contradiction(&steps) {
                prop_assert!(false, "{}: {:?}", contradiction, steps);
            }
        }
    }

    #[test]
    fn patches_lead_to_the_same_snapshot_in_any_order(
        (patches, shuffled) in prop::collection::vec((0_usize..3, 0_u8..5), 0..12)
            .prop_map(|patches| -> Vec<Patch> {
                (1..).zip(patches).map(|(version, (flag, shape))| Patch { flag, version, shape }).collect()
            })
            .prop_flat_map(|patches| (Just(patches.clone()), Just(patches).prop_shuffle())),
    ) {
        let apply = |patches: &[Patch]| {
            let mut snapshot = full(r#"{"flags":{"a":{"version":3,"salt":"first"}}}"#);
            for patch in patches {
                if let Some(new) = next(&snapshot, patch.change()) {
                    snapshot = new;
                }
            }
            snapshot
        };
        let (in_order, in_disorder) = (apply(&patches), apply(&shuffled));
        prop_assert_eq!(content(&in_order), content(&in_disorder));
        // Applied again, none of them is news.
        prop_assert!(patches.iter().all(|patch| next(&in_order, patch.change()).is_none()));
        // No two flags share a slot.
        let slots: Vec<_> = in_disorder.flags().filter_map(|item| match &item.entry {
            Entry::Live(flag) => Some(flag.slot),
            _ => None,
        }).collect();
        prop_assert_eq!(slots.iter().collect::<HashSet<_>>().len(), slots.len());
    }

    #[test]
    fn a_larger_share_keeps_everyone_it_had(
        key in "[a-z]{1,12}",
        salt in "[a-z]{0,8}",
        seed in prop::option::of(any::<i64>()),
        (smaller, larger) in (0_i64..=100_000, 0_i64..=100_000).prop_map(|(a, b)| (a.min(b), a.max(b))),
    ) {
        let context = Context::from_value(Value::Object(
            [("kind".into(), "user".into()), ("key".into(), key.as_str().into())].into(),
        )).expect("a context");
        let served = |weight: i64| {
            let seed = seed.map_or("null".to_owned(), |seed| seed.to_string());
            let rest = 100_000 - weight;
            let snapshot = full(&format!(
                r#"{{"flags":{{"f":{{"on":true,"salt":"{salt}","variations":[true,false],"fallthrough":{{"rollout":{{"seed":{seed},"variations":[{{"variation":0,"weight":{weight}}},{{"variation":1,"weight":{rest}}}]}}}}}}}}}}"#
            ));
            let Some(Entry::Live(flag)) = snapshot.flag_entry("f") else { panic!("a flag") };
            evaluate(flag, &context, &snapshot, None, &mut ()).variation == Some(0)
        };
        prop_assert!(served(larger) || !served(smaller));
        // And exactly those whose bucket lies below the weight.
        let bucket = bucket(&bucket_prefix(seed, "f", &salt), &context, &Kind::User, None).expect("no reference").expect("a user");
        prop_assert!((0.0..=1.0).contains(&bucket));
        #[allow(clippy::cast_precision_loss, reason = "weights are small")]
        let below = bucket < smaller as f64 / 100_000.0;
        prop_assert_eq!(served(smaller), below);
    }
}
