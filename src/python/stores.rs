//! Feature stores at the boundary: Python's for the native client, and the thread that Python lends. When a store is
//! asked is `client`'s question, what items look like in Python `ldclient._stores`'s.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::ending::Inside;
use super::redis_stores::PyRedisStore;
use crate::client::{Caching, Client, Storage, StoreSettings};
use crate::store::{DataKind, PersistentStore, StoreError, Texts};

/// A longer time is as good as for ever.
const LONGEST: f64 = 31_536_000.0;

/// The kind that a store calls so.
pub fn kind_of(name: &str) -> PyResult<DataKind> {
    match name {
        "features" => Ok(DataKind::Flag),
        "segments" => Ok(DataKind::Segment),
        _ => Err(PyValueError::new_err("a kind is 'features' or 'segments'")),
    }
}

fn name_of(kind: DataKind) -> &'static str {
    match kind {
        DataKind::Flag => "features",
        DataKind::Segment => "segments",
    }
}

/// Key -> JSON text.
pub fn texts(dict: &Bound<'_, PyDict>) -> PyResult<Texts> {
    dict.iter()
        .map(|(key, text)| {
            Ok((
                key.extract::<String>()?.into(),
                text.extract::<String>()?.into(),
            ))
        })
        .collect()
}

/// The same, as a dict.
pub fn dict_of<'py>(py: Python<'py>, texts: &Texts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, text) in texts {
        dict.set_item(&**key, &**text)?;
    }
    Ok(dict)
}

/// A store written in Python, behind `ldclient._stores.Bridge`. Only threads of Python's come here: callers, and the one
/// that was lent.
struct PyStore(Py<PyAny>);

impl PyStore {
    fn ask<R>(&self, ask: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<R>) -> Result<R, StoreError> {
        Python::attach(|py| {
            let _inside = Inside::enter(py);
            ask(self.0.bind(py)).map_err(|error| {
                // The text of the error is the store's own, and may hold anything.
                let name = super::convert::type_name(error.value(py));
                StoreError(format!("it raised {name}"))
            })
        })
    }
}

impl PersistentStore for PyStore {
    fn all(&self, kind: DataKind) -> Result<Texts, StoreError> {
        self.ask(|bridge| {
            let all = bridge.call_method1("all", (name_of(kind),))?;
            texts(all.cast::<PyDict>()?)
        })
    }

    fn get(&self, kind: DataKind, keys: &[Box<str>]) -> Result<Vec<Option<Box<str>>>, StoreError> {
        self.ask(|bridge| {
            keys.iter()
                .map(|key| {
                    let text = bridge.call_method1("get", (name_of(kind), &**key))?;
                    Ok(text.extract::<Option<String>>()?.map(Into::into))
                })
                .collect()
        })
    }

    fn init(&self, flags: &Texts, segments: &Texts) -> Result<(), StoreError> {
        self.ask(|bridge| {
            let py = bridge.py();
            let given = (dict_of(py, flags)?, dict_of(py, segments)?);
            bridge.call_method1("init", given).map(drop)
        })
    }

    fn upsert(
        &self,
        kind: DataKind,
        key: &str,
        version: i64,
        text: &str,
    ) -> Result<(), StoreError> {
        self.ask(|bridge| {
            bridge
                .call_method1("upsert", (name_of(kind), key, version, text))
                .map(drop)
        })
    }

    fn initialized(&self) -> Result<bool, StoreError> {
        self.ask(|bridge| bridge.call_method0("initialized")?.is_truthy())
    }

    fn is_available(&self) -> bool {
        self.ask(|bridge| bridge.call_method0("is_available")?.is_truthy())
            .unwrap_or(false)
    }
}

/// The store that the options name: `{"native", "bridge", "caching"}`, or None.
pub fn settings(option: &Bound<'_, PyAny>, daemon: bool) -> PyResult<Option<StoreSettings>> {
    let Ok(option) = option.cast::<PyDict>() else {
        return Ok(None);
    };
    let get = |name: &str| {
        option
            .get_item(name)
            .map(|value| value.filter(|v| !v.is_none()))
    };
    let seconds: f64 = match get("caching")? {
        Some(seconds) => seconds.extract()?,
        None => 0.0,
    };
    let caching = if seconds > LONGEST {
        Caching::Forever
    } else if seconds > 0.0 {
        Caching::For(Duration::from_secs_f64(seconds))
    } else {
        Caching::Off
    };
    let native = match get("native")? {
        Some(native) => Some(native.cast_into::<PyRedisStore>()?),
        None => None,
    };
    let lent_thread = native.is_none();
    let store: Arc<dyn PersistentStore> = match (native, get("bridge")?) {
        (Some(native), _) => native.get().store(),
        (None, Some(bridge)) => Arc::new(PyStore(bridge.unbind())),
        (None, None) => return Ok(None),
    };
    Ok(Some(StoreSettings {
        store,
        caching,
        daemon,
        lent_thread,
    }))
}

/// The work of a store's thread.
#[pyclass(frozen, name = "StoreWork", module = "ldclient._ldclient")]
pub struct StoreWork(Arc<Storage>);

#[pymethods]
impl StoreWork {
    /// Does it until the client is closed.
    fn run(&self, py: Python<'_>) {
        py.detach(|| self.0.run());
    }
}

/// Lends the client's store a thread, if it still needs one. A child that was forked needs another one.
pub fn lend_thread(py: Python<'_>, client: &Client) -> PyResult<()> {
    let Some(storage) = client.live().runtime.storage().cloned() else {
        return Ok(());
    };
    if storage.wants_thread() {
        let work = Bound::new(py, StoreWork(storage))?;
        py.import("ldclient._stores")?
            .call_method1("lend_thread", (work,))?;
    }
    Ok(())
}
