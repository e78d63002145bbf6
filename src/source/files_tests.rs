//! Flag files: what stands in them, and when they are read again.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::server::{DEADLINE, FAST, Recorder};
use super::status::{ErrorKind, State};
use super::{Plan, Source, read_files};
use crate::events::log::Level;
use crate::store::Entry;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ld-source-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        // At once, so that no test sees half a file by chance.
        let whole = self.path(&format!("{name}.whole"));
        fs::write(&whole, text).unwrap();
        fs::rename(whole, self.path(name)).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read_one(name: &str, text: &str) -> Result<String, String> {
    let folder = Folder::new();
    let path = folder.write(name, text);
    read_files(&[path])
}

fn start(paths: Vec<PathBuf>, auto_update: bool) -> (Source, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let plan = Plan::Files {
        paths,
        auto_update,
        interval: Duration::ZERO,
    };
    let source = Source::start_at(plan, None, recorder.clone(), recorder.clone(), FAST).unwrap();
    (source, recorder)
}

#[test]
fn files_are_merged_and_flag_values_become_flags() {
    let folder = Folder::new();
    let json = folder.write(
        "a.json",
        "\u{feff} {\"$schema\":\"x\",\"flags\":{\"a\":{\"key\":\"a\",\"on\":true,\"version\":7}},\"segments\":{\"s\":{\"key\":\"s\"}}}",
    );
    let yaml = folder.write(
        "b.yaml",
        "flagValues:\n  b: yes\n  c: [1, 2.5]\nflags:\n  d:\n    on: true\n",
    );
    assert_eq!(
        read_files(&[json, yaml]).unwrap(),
        concat!(
            r#"{"flags":{"a":{"key":"a","on":true,"version":7},"#,
            r#""d":{"on":true,"version":1},"#,
            r#""b":{"key":"b","version":1,"on":true,"fallthrough":{"variation":0},"variations":[true]},"#,
            r#""c":{"key":"c","version":1,"on":true,"fallthrough":{"variation":0},"variations":[[1,2.5]]}},"#,
            r#""segments":{"s":{"key":"s","version":1}}}"#
        )
    );
}

#[test]
fn yaml_is_known_by_its_name_or_by_not_starting_like_json() {
    let empty = r#"{"flags":{},"segments":{}}"#;
    assert_eq!(read_one("a.yml", "{flags: {}}").unwrap(), empty);
    assert_eq!(read_one("a.txt", "# nothing\nflags:\n").unwrap(), empty);
    assert_eq!(read_one("a.json", "{}").unwrap(), empty);
    assert!(read_one("a.json", "{flags: {}}").is_err());
}

#[test]
fn faults_name_the_file_the_place_and_what_is_wrong() {
    for (name, text, expected) in [
        ("a.json", "", "a.json: the file is empty"),
        (
            "a.json",
            "[]",
            "a.json: the file must hold an object, not an array",
        ),
        (
            "a.json",
            "{\n \"flags\": {\"a\": }}",
            "a.json: line 2 column 17: expected value",
        ),
        (
            "a.json",
            "{\"flags\": 5}",
            "a.json: line 1 column 11: invalid type",
        ),
        (
            "a.json",
            "{\"flags\": {\"a\": 1}",
            "a.json: line 1 column 18: EOF",
        ),
        (
            "a.yaml",
            "flags: [1]",
            "a.yaml: flags must be an object by key",
        ),
        (
            "a.yaml",
            "just text",
            "a.yaml: the file must hold an object",
        ),
        ("a.yaml", "flags:\n  a: *b\n", "a.yaml: line 2 column 6: "),
    ] {
        let fault = read_one(name, text).unwrap_err();
        assert!(fault.contains(expected), "{text}: {fault}");
    }
    let folder = Folder::new();
    fs::write(folder.path("a.json"), b"{\n\"\xFF\"}").unwrap();
    let fault = read_files(&[folder.path("a.json")]).unwrap_err();
    assert!(
        fault.ends_with("a.json: line 2 column 2: the text is not UTF-8"),
        "{fault}"
    );
    assert!(
        read_files(&[folder.path("none.json")])
            .unwrap_err()
            .contains("none.json: ")
    );
}

#[test]
fn a_key_in_two_places_is_an_error_that_names_both() {
    let folder = Folder::new();
    let one = folder.write("one.json", r#"{"flags":{"a":{"key":"a"}}}"#);
    let two = folder.write("two.json", r#"{"flagValues":{"a":1}}"#);
    let fault = read_files(&[one.clone(), two]).unwrap_err();
    assert!(
        fault.contains("two.json: the flag \"a\" in flagValues is in flags of "),
        "{fault}"
    );
    assert!(fault.contains("one.json already"), "{fault}");
    let by_member = folder.write("three.json", r#"{"flags":{"x":{"key":"a"}}}"#);
    assert!(read_files(&[one.clone(), by_member]).is_err());
    let segment = folder.write("four.json", r#"{"segments":{"a":{}}}"#);
    assert!(read_files(&[one, segment]).is_ok());
}

#[test]
fn a_name_twice_in_one_section_is_remarked_on_and_the_last_counts() {
    let folder = Folder::new();
    let path = folder.write(
        "a.json",
        r#"{"flags":{"f":{"version":1},"f":{"version":2}}}"#,
    );
    let (source, recorder) = start(vec![path], false);
    let heard = recorder.wait("the data", |heard| heard.state() == Some(State::Valid));
    assert_eq!(heard.version(), 2);
    assert!(heard.lines_at(Level::Warning)[0].contains("flags has the key \"f\" more than once"));
    drop(heard);
    assert!(source.stop(DEADLINE));
    assert_eq!(recorder.heard().state(), Some(State::Off));
}

#[test]
fn a_changed_file_is_read_again_and_changed_flags_get_higher_versions() {
    let folder = Folder::new();
    let text = |value: i64| format!(r#"{{"flagValues":{{"f":{value},"same":0}}}}"#);
    let path = folder.write("a.json", &text(1));
    let (source, recorder) = start(vec![path.clone()], true);
    drop(recorder.wait("the first load", |heard| heard.version() == 1));
    // The same length and, on a coarse clock, the same time.
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(text(2).as_bytes()).unwrap();
    drop(file);
    drop(recorder.wait("the second load", |heard| heard.version() == 2));
    // As editors and orchestrators do it: another file in its place.
    folder.write("b.json", &text(1));
    fs::rename(folder.path("b.json"), path).unwrap();
    let heard = recorder.wait("the third load", |heard| heard.version() == 3);
    let last = heard.snapshots.last().unwrap();
    assert!(
        matches!(last.flag_entry("f"), Some(Entry::Live(flag)) if flag.variations[0].to_json() == "1")
    );
    assert!(matches!(last.flag_entry("same"), Some(Entry::Live(flag)) if flag.version == 1));
    assert!(
        heard
            .states
            .iter()
            .all(|told| *told == (State::Valid, None))
    );
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_fault_is_logged_once_while_the_last_good_data_is_served() {
    let folder = Folder::new();
    let good = folder.write("good.json", r#"{"flagValues":{"g":1}}"#);
    let path = folder.write("a.yaml", "flagValues:\n  f: 1\n");
    let (source, recorder) = start(vec![good, path], true);
    drop(recorder.wait("the first load", |heard| heard.version() == 1));
    folder.write("a.yaml", "flagValues:\n  f: [2\n");
    drop(recorder.wait("the fault", |heard| {
        heard.state() == Some(State::Interrupted)
    }));
    folder.write("good.json", r#"{"flagValues":{"g":2}}"#);
    folder.write("a.yaml", "flagValues:\n  f: [2\n");
    folder.write("a.yaml", "flagValues:\n  f: 3\n");
    let heard = recorder.wait("the mended file", |heard| {
        heard.lines_at(Level::Info).len() == 2
    });
    assert_eq!(
        (
            heard.version(),
            heard.flag_version("g"),
            heard.snapshots.len()
        ),
        (2, 2, 2)
    );
    assert_eq!(heard.errors().len(), 1);
    assert_eq!(heard.errors()[0].kind, ErrorKind::InvalidData);
    let errors = heard.lines_at(Level::Error);
    assert!(
        errors.len() == 1 && errors[0].contains("a.yaml: line "),
        "{errors:?}"
    );
    assert_eq!(heard.state(), Some(State::Valid));
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_missing_file_leaves_the_state_initializing_and_is_looked_for() {
    let folder = Folder::new();
    let (source, recorder) = start(vec![folder.path("late.json")], true);
    let heard = recorder.wait("the fault", |heard| !heard.states.is_empty());
    assert_eq!(heard.states[0].0, State::Initializing);
    assert!(heard.errors()[0].message.contains("late.json"));
    drop(heard);
    folder.write("late.json", r#"{"flagValues":{"f":1}}"#);
    let heard = recorder.wait("the data", |heard| heard.state() == Some(State::Valid));
    assert_eq!(heard.version(), 1);
    drop(heard);
    fs::remove_file(folder.path("late.json")).unwrap();
    let heard = recorder.wait("the loss", |heard| {
        heard.state() == Some(State::Interrupted)
    });
    assert_eq!(heard.version(), 1);
    drop(heard);
    assert!(source.stop(DEADLINE));
}

#[test]
fn a_yaml_file_nested_as_deep_as_can_be_is_read_on_the_small_stack() {
    let folder = Folder::new();
    let deep = format!("flagValues: {{f: {}{}}}", "[".repeat(98), "]".repeat(98));
    let path = folder.write("a.yaml", &deep);
    let (source, recorder) = start(vec![path], false);
    drop(recorder.wait("the data", |heard| heard.version() == 1));
    assert!(source.stop(DEADLINE));
}
