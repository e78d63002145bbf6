//! The structure of `src/` as a test: which folder may use which, and what each may name. Leaves what the code does to
//! the other tests.
//!
//! It reads tokens, not types: comments, strings and characters are skipped, so a word in a message breaks no rule.
//!
//! 1. `src/` holds `lib.rs` and the folders of `LAYERS`; a folder uses itself and those to its left.
//! 2. Every file opens with `//!`.
//! 3. `pyo3` is named under `src/python/` only.
//! 4. `unsafe` is written in `src/client/fork.rs` only.
//! 5. `model` and `evaluation` are pure: no clock, thread, file, network, process, randomness or output. Their unit
//!    tests may use these.

mod tokens;

use std::fs;
use std::path::Path;

use tokens::{Token, text, tokens};

const LAYERS: [&str; 8] = [
    "model",
    "evaluation",
    "store",
    "transport",
    "events",
    "source",
    "client",
    "python",
];
const PURE: [&str; 2] = ["model", "evaluation"];
const UNSAFE_FILE: &str = "client/fork.rs";

#[test]
fn the_sources_keep_to_their_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(
        files.iter().any(|(path, _)| path == "lib.rs"),
        "no sources found under {}",
        root.display()
    );
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| violations(path, text))
        .collect();
    assert!(
        found.is_empty(),
        "{} violations:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Every `.rs` file under `folder`, with its path from `root` written with `/`.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let parts: Vec<_> = path
                .strip_prefix(root)
                .unwrap()
                .iter()
                .map(|part| part.to_string_lossy())
                .collect();
            files.push((parts.join("/"), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// What is wrong with the file at `path` (from `src/`, such as `store/snapshot.rs`), one sentence each.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.trim_start_matches('\u{feff}').starts_with("//!") {
        found.push(format!("src/{path}:1: the file does not open with `//!`"));
    }
    let tokens = tokens(text);
    let mut report = |line: usize, what: &str| found.push(format!("src/{path}:{line}: {what}"));

    let folder = path.split_once('/').map(|(folder, _)| folder);
    let rank = folder.and_then(|folder| LAYERS.iter().position(|layer| *layer == folder));
    if rank.is_none() && path != "lib.rs" {
        report(
            1,
            "this place is none of the layers; add it to LAYERS in tests/rust/layers.rs where it belongs",
        );
    }
    if let Some(rank) = rank {
        for (line, name) in from_the_root(path, &tokens) {
            match LAYERS.iter().position(|layer| *layer == name) {
                Some(used) if used <= rank => {}
                Some(_) => report(
                    line,
                    &format!("`{}` uses `{name}`, which is to its right", LAYERS[rank]),
                ),
                None => report(
                    line,
                    &format!("`crate::{name}` is in no layer; name the folder it comes from"),
                ),
            }
        }
    }
    for token in &tokens {
        match token.text {
            "pyo3" if folder != Some("python") => report(token.line, "`pyo3` outside src/python/"),
            "unsafe" if path != UNSAFE_FILE => {
                report(token.line, &format!("`unsafe` outside src/{UNSAFE_FILE}"));
            }
            _ => {}
        }
    }
    if folder.is_some_and(|folder| PURE.contains(&folder)) && !path.ends_with("/tests.rs") {
        for (line, name) in impurities(&tokens) {
            report(line, &format!("`{name}` in a folder that is pure"));
        }
    }
    found
}

/// The names a file reaches through the root of the crate, by `crate::` or by enough `super::`.
fn from_the_root<'a>(path: &str, tokens: &[Token<'a>]) -> Vec<(usize, &'a str)> {
    // `a/mod.rs` is the module a; `a/b.rs` is a::b.
    let file_depth = path
        .trim_end_matches("/mod.rs")
        .trim_end_matches(".rs")
        .split('/')
        .count();
    let mut braces = 0usize;
    let mut inline_modules: Vec<usize> = Vec::new(); // depth of braces at which each open `mod x {` began
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    inline_modules.push(braces);
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                if inline_modules.last() == Some(&braces) {
                    inline_modules.pop();
                }
            }
            "crate" => reached(tokens, at + 1, &mut found),
            "super"
                if at == 0
                    || tokens[at - 1].text != "::"
                    || tokens
                        .get(at.wrapping_sub(2))
                        .is_none_or(|t| t.text == "self") =>
            {
                let mut end = at + 1;
                let mut levels = 1;
                while text(tokens, end) == "::" && text(tokens, end + 1) == "super" {
                    end += 2;
                    levels += 1;
                }
                if levels >= file_depth + inline_modules.len() {
                    reached(tokens, end, &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// What follows the root of the crate at `at`: `::name`, or the first name of each entry of `::{…}`.
fn reached<'a>(tokens: &[Token<'a>], at: usize, found: &mut Vec<(usize, &'a str)>) {
    if text(tokens, at) != "::" {
        return; // `pub(crate)`
    }
    if text(tokens, at + 1) != "{" {
        found.extend(tokens.get(at + 1).map(|token| (token.line, token.text)));
        return;
    }
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(at + 1) {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
        let starts_an_entry = depth == 1 && matches!(tokens[place - 1].text, "{" | ",");
        if starts_an_entry && token.text != "self" && token.text != "," {
            found.push((token.line, token.text));
        }
    }
}

/// What a pure folder must not name, outside items under `#[cfg(test)]`.
fn impurities<'a>(tokens: &[Token<'a>]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if (0..7).all(|ahead| {
            text(tokens, at + ahead) == ["#", "[", "cfg", "(", "test", ")", "]"][ahead]
        }) {
            at = end_of_item(tokens, at + 7);
            continue;
        }
        let token = &tokens[at];
        let from_std = || {
            // `std::name`, or `name` somewhere within `use std::{…};`
            let start = tokens[..at]
                .iter()
                .rposition(|token| token.text == ";" || token.text == "use")
                .unwrap_or(0);
            let in_a_group = text(tokens, start) == "use"
                && text(tokens, start + 1) == "std"
                && text(tokens, start + 3) == "{";
            at >= 2 && tokens[at - 1].text == "::" && tokens[at - 2].text == "std"
                || in_a_group && matches!(tokens[at - 1].text, "{" | ",")
        };
        match token.text {
            "SystemTime" | "Instant" | "rand" => found.push((token.line, token.text)),
            "print" | "println" | "eprint" | "eprintln" | "dbg" if text(tokens, at + 1) == "!" => {
                found.push((token.line, token.text));
            }
            "thread" | "fs" | "net" | "process" | "env" if from_std() => {
                found.push((token.line, token.text));
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Where the item that starts at `at` ends: after its `;` or its closing brace.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "{" => depth += 1,
            "}" if depth == 1 => return place + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return place + 1,
            _ => {}
        }
    }
    tokens.len()
}

// ------------------------------------------------------------------------------------- each check can fail, and pass

/// The violations of a file with a proper first line and this body, which starts on line 2.
fn judged(path: &str, body: &str) -> Vec<String> {
    violations(path, &format!("//! A file.\n{body}"))
}

#[track_caller]
fn refused(path: &str, body: &str, what: &str) {
    let found = judged(path, body);
    assert!(
        found.len() == 1 && found[0].contains(what),
        "{path}: {body:?} gave {found:?}, expected one of {what:?}"
    );
}

#[track_caller]
fn accepted(path: &str, body: &str) {
    assert_eq!(judged(path, body), Vec::<String>::new(), "{path}: {body:?}");
}

#[test]
fn a_folder_may_use_itself_and_those_to_its_left() {
    accepted(
        "evaluation/clauses.rs",
        "use crate::model::Flag; use crate::evaluation::Lookup; use super::Lookup;",
    );
    accepted(
        "python/mod.rs",
        "use crate::{client::Client, model::{Flag, Value}};",
    );
    accepted(
        "store/mod.rs",
        "pub(crate) fn snapshot() {} pub(in crate::store) fn f() {}",
    );
}

#[test]
fn a_use_of_a_folder_to_the_right_is_refused_however_it_is_written() {
    refused(
        "model/flag.rs",
        "use crate::evaluation::Detail;",
        ":2: `model` uses `evaluation`",
    );
    refused(
        "model/flag.rs",
        "use crate::{model::Value,\n store};",
        ":3: `model` uses `store`",
    );
    refused(
        "model/flag.rs",
        "fn f() { crate::client::open() }",
        "`client`",
    );
    refused(
        "model/flag.rs",
        "use super::super::store::Snapshot;",
        "`store`",
    );
    refused("model/mod.rs", "use super::store::Snapshot;", "`store`");
    refused(
        "model/mod.rs",
        "use super::{model::Flag, store::Snapshot};",
        "`store`",
    );
    refused(
        "model/mod.rs",
        "use self::super::store::Snapshot;",
        "`store`",
    );
    refused(
        "model/rule/clause.rs",
        "use super::super::super::store::Snapshot;",
        "`store`",
    );
    refused(
        "model/flag.rs",
        "mod inner { use super::super::super::store::Snapshot; }",
        "`store`",
    );
    refused(
        "model/flag.rs",
        "macro_rules! m { () => { $crate::store::f() } }",
        "`store`",
    );
    refused("events/mod.rs", "use crate::source::Status;", "`source`");
}

#[test]
fn super_that_stays_inside_the_folder_is_no_use_of_another() {
    accepted("model/flag.rs", "mod tests { use super::super::client; }");
    accepted("model/rule/clause.rs", "use super::super::store;");
    accepted("model/flag.rs", "mod one {} use super::store;");
}

#[test]
fn a_name_at_the_root_of_the_crate_is_refused_because_it_hides_its_layer() {
    refused("events/mod.rs", "use crate::Client;", "in no layer");
    refused("events/mod.rs", "use crate::*;", "in no layer");
}

#[test]
fn an_unknown_folder_or_file_is_refused() {
    refused("metrics/mod.rs", "", "none of the layers");
    refused("metrics.rs", "", "none of the layers");
    accepted("lib.rs", "pub mod model; pub use client::Client;");
}

#[test]
fn a_file_without_an_opening_line_is_refused() {
    let found = violations("model/flag.rs", "use std::fmt;\n");
    assert!(
        found.len() == 1 && found[0].contains("does not open with"),
        "{found:?}"
    );
}

#[test]
fn pyo3_is_refused_outside_its_folder() {
    refused("client/mod.rs", "use pyo3::prelude::*;", "`pyo3`");
    refused("lib.rs", "#[pyo3::pymodule] mod m {}", "`pyo3`");
    accepted("python/errors.rs", "use pyo3::prelude::*;");
}

#[test]
fn unsafe_is_refused_outside_the_fork_file() {
    refused("store/mod.rs", "fn f() { unsafe { g() } }", "`unsafe`");
    refused(
        "client/mod.rs",
        "#[unsafe(no_mangle)] fn f() {}",
        "`unsafe`",
    );
    accepted("client/fork.rs", "fn f() { unsafe { g() } }");
    accepted("client/mod.rs", "#[allow(unsafe_code)] mod fork;");
}

#[test]
fn a_pure_folder_may_not_reach_the_world() {
    for (body, what) in [
        ("use std::time::SystemTime;", "SystemTime"),
        ("fn f() { std::time::Instant::now(); }", "Instant"),
        ("fn f() { std::thread::yield_now(); }", "thread"),
        ("use std::fs::read;", "fs"),
        ("use std::{fmt, net::IpAddr};", "net"),
        ("fn f() { std::process::exit(1) }", "process"),
        ("fn f() { std::env::var(\"A\"); }", "env"),
        ("use rand::random;", "rand"),
        ("fn f() { println!(\"flag\"); }", "println"),
        ("fn f() { eprintln!(\"flag\"); }", "eprintln"),
        ("fn f() { dbg!(1); }", "dbg"),
        ("#[cfg(test)] mod tests {}\nfn f() { dbg!(1); }", "dbg"),
    ] {
        refused("model/flag.rs", body, &format!("`{what}`"));
        refused("evaluation/clauses.rs", body, &format!("`{what}`"));
        accepted("transport/mod.rs", body);
    }
    accepted(
        "model/flag.rs",
        "use std::time::Duration; fn f(env: u8, net: u8) -> u8 { env + net }",
    );
    accepted(
        "model/flag.rs",
        "#[cfg(test)] mod tests { use std::fs; fn f() { println!(\"flag\"); } }",
    );
}

#[test]
fn comments_texts_and_characters_break_no_rule() {
    accepted(
        "model/flag.rs",
        "// unsafe, pyo3, crate::store\n/* SystemTime /* nested */ unsafe */",
    );
    accepted(
        "model/flag.rs",
        r##"const A: &str = "unsafe \" pyo3"; const B: &str = r#"crate::store " unsafe"#;"##,
    );
    accepted(
        "model/flag.rs",
        "const A: char = '\"'; const B: char = '\\''; fn f<'a>(x: &'a str) -> &'a str { x }",
    );
    refused(
        "model/flag.rs",
        "const A: char = '\"'; use crate::store::S; const B: char = '\"';",
        "`store`",
    );
    refused(
        "model/flag.rs",
        "fn f<'a>(x: &'a str) { unsafe {} } const C: char = 'a';",
        "`unsafe`",
    );
    refused(
        "model/flag.rs",
        "const A: &[u8] = b\"\\\"\"; const B: &str = r\"\\\"; fn f() { unsafe {} }",
        "`unsafe`",
    );
}
