//! An event processor of the application's own, in the place of the native recorder: what an evaluation tells it. How an
//! event looks is `ldclient.events`' question, how the processor is called `ldclient._event_processor`'s.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::caller::with_caller;
use super::client::PyClient;
use super::convert::{reason, to_python};
use super::ending::Inside;
use crate::client::{Answer, Live};
use crate::evaluation::{Lookup, Outcome, Recorder};
use crate::model::{Flag, Key};

/// The processor of a client.
pub(super) struct Processor {
    /// What calls the application's.
    told: Py<PyAny>,
    /// The flags that events carried, by key: the `id` of what each was made of, and what was made.
    flags: Py<PyDict>,
}

impl Processor {
    /// The same, for a view of the client.
    pub(super) fn shared(&self, py: Python<'_>) -> Processor {
        Processor {
            told: self.told.clone_ref(py),
            flags: self.flags.clone_ref(py),
        }
    }
}

/// One evaluation, as it is told.
pub(super) struct Telling<'a, 'py> {
    processor: &'a Processor,
    evaluations: Bound<'py, PyList>,
    default: Option<Bound<'py, PyAny>>,
    /// Whether there is anybody whom the flag was evaluated for.
    heard: bool,
    /// Key, key of the flag that needs it, outcome.
    prerequisites: Vec<(Box<str>, Box<str>, Outcome)>,
}

impl Recorder for Telling<'_, '_> {
    fn evaluated(&mut self, prerequisite: &Flag, of: &Flag, outcome: &Outcome) {
        let (key, of) = (prerequisite.key.clone(), of.key.clone());
        self.prerequisites.push((key, of, *outcome));
    }
}

impl<'py> Telling<'_, 'py> {
    /// There is somebody; from here on the prerequisites are recorded.
    pub(super) fn recorder(&mut self) -> &mut dyn Recorder {
        self.heard = true;
        self
    }

    /// Takes down what was answered. `value` is what the caller gets, who asked with this default.
    pub(super) fn note(
        &mut self,
        live: &Live,
        key: &str,
        value: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
        with_reason: bool,
        answer: &Answer<'_>,
    ) -> PyResult<()> {
        if !self.heard {
            return Ok(());
        }
        let py = value.py();
        self.default = default.cloned();
        for (key, of, outcome) in std::mem::take(&mut self.prerequisites) {
            let known = |key: &str| live.snapshot.flag(&Key::from(key));
            let (Some(flag), Some(of)) = (known(&key), known(&of)) else {
                continue;
            };
            let value = match outcome.value(flag) {
                Some(value) => to_python(py, value)?,
                None => py.None().into_bound(py),
            };
            self.add(&key, Some(flag), &outcome, &value, with_reason, Some(of))?;
        }
        self.add(key, answer.flag, &answer.outcome, value, with_reason, None)
    }

    /// Takes down one evaluation as (key, flag, variation, value, reason, flag that needs it, whether it is tracked).
    fn add(
        &self,
        key: &str,
        flag: Option<&Flag>,
        outcome: &Outcome,
        value: &Bound<'py, PyAny>,
        with_reason: bool,
        of: Option<&Flag>,
    ) -> PyResult<()> {
        let py = value.py();
        let experiment = flag.is_some_and(|flag| outcome.is_experiment(flag));
        let why = if with_reason || experiment {
            Some(reason(py, outcome, flag)?)
        } else {
            None
        };
        let tracked = experiment || flag.is_some_and(|flag| flag.track_events);
        let flag = flag.map(|flag| self.processor.flag(py, flag)).transpose()?;
        let of = of.map(|flag| self.processor.flag(py, flag)).transpose()?;
        self.evaluations
            .append((key, flag, outcome.variation, value, why, of, tracked))
    }
}

impl Processor {
    /// Has `ask` evaluate, and tells the processor.
    pub(super) fn around<'py, R>(
        &self,
        py: Python<'py>,
        context: Option<&Bound<'py, PyAny>>,
        ask: impl FnOnce(&mut Telling<'_, 'py>) -> PyResult<R>,
    ) -> PyResult<R> {
        let mut telling = Telling {
            processor: self,
            evaluations: PyList::empty(py),
            default: None,
            heard: false,
            prerequisites: Vec::new(),
        };
        let answered = ask(&mut telling)?;
        if telling.heard {
            let arguments = (context, telling.default, telling.evaluations);
            contained(py, || {
                self.told.bind(py).call_method1("evaluated", arguments)
            })?;
        }
        Ok(answered)
    }

    /// Tells of something that a user or context did; says once what is wrong where nobody is meant.
    pub(super) fn tell<'py>(
        &self,
        context: Option<&Bound<'py, PyAny>>,
        py: Python<'py>,
        purpose: &str,
        tell: impl FnOnce(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let somebody = with_caller(py, context, purpose, |_| ()).is_some();
        match context.filter(|_| somebody) {
            Some(context) => contained(py, || tell(self.told.bind(py), context)),
            None => Ok(()),
        }
    }

    /// Asks the processor to send what waits.
    pub(super) fn flush(&self, py: Python<'_>) -> PyResult<()> {
        contained(py, || self.told.bind(py).call_method0("flush"))
    }

    /// The flag as events show it, made when it first comes by.
    fn flag<'py>(&self, py: Python<'py>, flag: &Flag) -> PyResult<Bound<'py, PyAny>> {
        let flags = self.flags.bind(py);
        if let Some(known) = flags.get_item(&*flag.key)? {
            let (id, made): (u64, Bound<'py, PyAny>) = known.extract()?;
            if id == flag.id {
                return Ok(made);
            }
        }
        let made = self
            .told
            .bind(py)
            .call_method1("flag", (members(py, flag)?,))?;
        flags.set_item(&*flag.key, (flag.id, &made))?;
        Ok(made)
    }
}

#[pymethods]
impl PyClient {
    /// Has events given to this object instead of being recorded. Later calls do nothing.
    fn _set_event_processor(&self, py: Python<'_>, told: Py<PyAny>) {
        let _ = self.processor.set(Processor {
            told,
            flags: PyDict::new(py).unbind(),
        });
    }
}

/// What is known of a flag, under the names of its JSON form.
fn members<'py>(py: Python<'py>, flag: &Flag) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("key", &*flag.key)?;
    dict.set_item("version", flag.version)?;
    dict.set_item("on", flag.on)?;
    dict.set_item("salt", &*flag.salt)?;
    let variations = PyList::empty(py);
    for value in &flag.variations {
        variations.append(to_python(py, value)?)?;
    }
    dict.set_item("variations", variations)?;
    dict.set_item("offVariation", flag.off_variation)?;
    let prerequisites = PyList::empty(py);
    for prerequisite in &flag.prerequisites {
        let members = PyDict::new(py);
        members.set_item("key", &*prerequisite.key)?;
        members.set_item("variation", prerequisite.variation)?;
        prerequisites.append(members)?;
    }
    dict.set_item("prerequisites", prerequisites)?;
    dict.set_item("trackEvents", flag.track_events)?;
    dict.set_item("trackEventsFallthrough", flag.track_events_fallthrough)?;
    dict.set_item("debugEventsUntilDate", flag.debug_events_until_ms)?;
    dict.set_item("clientSide", flag.client_side)?;
    dict.set_item("excludeFromSummaries", flag.exclude_from_summaries)?;
    dict.set_item("samplingRatio", flag.sampling_ratio)?;
    if let Some(ratio) = flag.check_ratio {
        let migration = PyDict::new(py);
        migration.set_item("checkRatio", ratio)?;
        dict.set_item("migration", migration)?;
    }
    Ok(dict)
}

/// What a processor raises breaks no call; what is no `Exception` is meant for the program.
fn contained<'py>(
    py: Python<'py>,
    call: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let _inside = Inside::enter(py);
    match call() {
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        _ => Ok(()),
    }
}
