//! Flags from files on this machine: when they are read again, and the versions their items get. What stands in them
//! is `document`'s question.
//!
//! 1. Any fault in any file: nothing of that load is applied, the last good data goes on being served, and the fault
//!    is logged once. A missing file is such a fault; with `auto_update` it is looked for on.
//! 2. With `auto_update` the source looks at each file every `interval`: its time, size and inode, through links, so
//!    that an editor's rename and an orchestrator's swap of links are seen. Looking needs no thread of its own beside
//!    the source's and works on every file system, network and container mounts included; a notification works on
//!    few of those.
//! 3. A change is read once two looks in a row agree, because half a YAML file is often YAML too. A file as young as
//!    its clock is coarse may change again unseen, so it is read a second time; bytes that are the same as before are
//!    no change.
//! 4. An item whose content changed gets a higher version even where its file does not say so: events tell versions
//!    apart, and so do those who look at them.

use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;

use super::document::{self, Document, Named};
use super::status::ErrorKind;
use super::teller::{Teller, Trouble};
use crate::events::log::Level;
use crate::model::Value;
use crate::store::{Change, Snapshot};

const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks that must agree.
const SETTLING: Duration = Duration::from_millis(50);
/// A file that never comes to rest is read all the same after so many looks.
const MOST_LOOKS: usize = 20;
/// The coarsest clock of a file system in use.
const COARSE: Duration = Duration::from_secs(2);

pub(super) fn run(paths: &[PathBuf], auto_update: bool, interval: Duration, teller: &mut Teller) {
    let interval = if interval.is_zero() {
        INTERVAL
    } else {
        interval
    };
    let mut files = Files::new(paths);
    files.load(teller, auto_update);
    if !auto_update {
        if files.applied.is_none() {
            teller.gave_up();
        }
        return teller.rest();
    }
    while !teller.pause(interval) {
        if files.fault.is_none() {
            teller.heard();
        }
        let mut stamps = stamps(paths);
        let mut looks = 0;
        while stamps != files.stamps && looks < MOST_LOOKS {
            if teller.pause(SETTLING.min(interval)) {
                return;
            }
            let before = std::mem::replace(&mut stamps, self::stamps(paths));
            looks += 1;
            if before == stamps {
                break;
            }
        }
        if stamps != files.stamps || files.young {
            files.load(teller, true);
        }
    }
}

/// What tells one state of a file from another without reading it; `None` where there is no file.
type Stamp = Option<(Option<SystemTime>, u64, u64)>;

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some((metadata.modified().ok(), metadata.len(), inode))
}

struct Files<'a> {
    paths: &'a [PathBuf],
    /// As they were before the last load, so that what changed while it read is seen as a change.
    stamps: Vec<Stamp>,
    /// Whether a file was so new at the last load that it may have changed since without a trace.
    young: bool,
    /// The hash of all bytes of the last load that was applied.
    applied: Option<u64>,
    fault: Option<String>,
    versions: Versions,
}

impl Files<'_> {
    fn new(paths: &[PathBuf]) -> Files<'_> {
        Files {
            paths,
            stamps: Vec::new(),
            young: false,
            applied: None,
            fault: None,
            versions: Versions::default(),
        }
    }

    fn load(&mut self, teller: &mut Teller, auto_update: bool) {
        self.stamps = stamps(self.paths);
        let now = SystemTime::now();
        self.young = self.stamps.iter().flatten().any(|(modified, ..)| {
            modified.is_none_or(|time| now.duration_since(time).is_ok_and(|age| age < COARSE))
        });
        match self.read(&teller.known()) {
            Ok(None) => self.recovered(teller, false),
            Ok(Some((change, remarks, hash))) => {
                for remark in remarks {
                    teller.remark(remark);
                }
                teller.apply(change);
                self.applied = Some(hash);
                self.recovered(teller, true);
            }
            Err(fault) => {
                if self.fault.as_ref() == Some(&fault) {
                    return;
                }
                let meanwhile = match (self.applied, auto_update) {
                    (Some(_), _) => {
                        "The last good data goes on being served; they are read again when they change."
                    }
                    (None, true) => {
                        "Until they can be, every flag serves its default; they are read again when they change."
                    }
                    (None, false) => {
                        "Every flag serves its default until a restart, because the files are not watched."
                    }
                };
                teller.log(
                    Level::Error,
                    format!("The flag files cannot be used: {fault}. {meanwhile}"),
                );
                teller.interrupted(&Trouble::new(ErrorKind::InvalidData, fault.as_str()));
                self.fault = Some(fault);
            }
        }
    }

    /// The change, if the files have changed since the last one.
    fn read(
        &mut self,
        known: &Arc<Snapshot>,
    ) -> Result<Option<(Change, Vec<String>, u64)>, String> {
        let files = self
            .paths
            .iter()
            .map(|path| Ok((path.as_path(), document::read_file(path)?)))
            .collect::<Result<Vec<_>, String>>()?;
        let hash = hash(&files);
        if self.applied == Some(hash) {
            return Ok(None);
        }
        let mut document = document::merge(&files)?;
        drop(files);
        let versions = self.versions.next(&mut document);
        let json = document.to_json();
        // Files are small: their text is kept whether or not there is a store to write it to.
        let change = Change::full_after(known, json.as_bytes())
            .map_err(|error| error.to_string())?
            .with_text(json.as_bytes());
        self.versions = versions;
        Ok(Some((change, document.remarks, hash)))
    }

    fn recovered(&mut self, teller: &mut Teller, applied: bool) {
        teller.valid();
        if self.fault.take().is_some() {
            teller.log(Level::Info, "The flag files are fine again.".to_owned());
        } else if applied {
            teller.log(Level::Debug, "The flag files were read.".to_owned());
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    foldhash::quality::FixedState::default().hash_one(value)
}

/// The content and the version of every item that was ever read, so that an item that comes back counts on.
#[derive(Clone, Debug, Default)]
struct Versions {
    flags: HashMap<Box<str>, (u64, i64)>,
    segments: HashMap<Box<str>, (u64, i64)>,
}

impl Versions {
    /// Gives the items their versions; returns what is known after that.
    fn next(&self, document: &mut Document) -> Versions {
        let mut next = self.clone();
        assign(&mut next.flags, &mut document.flags);
        assign(&mut next.segments, &mut document.segments);
        next
    }
}

fn assign(known: &mut HashMap<Box<str>, (u64, i64)>, items: &mut Named<Value>) {
    for (key, item) in items {
        let content = hash(&item.to_json());
        let Value::Object(members) = item else {
            continue;
        };
        let Some((_, Value::Int(version))) =
            members.iter_mut().find(|(name, _)| **name == *"version")
        else {
            continue;
        };
        match known.get_mut(key) {
            Some((old_content, old_version)) => {
                if *old_content != content {
                    *old_content = content;
                    *old_version = (*version).max(old_version.saturating_add(1));
                }
                *version = *old_version;
            }
            None => {
                known.insert(key.clone(), (content, *version));
            }
        }
    }
}
