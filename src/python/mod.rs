//! The boundary to Python: conversions both ways in one file, one class a file. The only folder that knows pyo3.
//! What is public, and under which name, is `python/ldclient`'s question.
#![allow(
    clippy::needless_pass_by_value,
    clippy::elidable_lifetime_names,
    reason = "PyO3 reads arguments by value, and its methods name the interpreter's lifetime"
)]

mod asking;
mod big_segments;
mod caller;
mod client;
mod context;
mod convert;
mod delivery;
mod depth;
mod detail;
mod ending;
mod event_processor;
mod explaining;
mod flags_state;
mod flush;
mod migration;
mod names;
mod notices;
mod options;
mod pinned;
mod plain;
mod recording;
mod redis_stores;
mod registry;
mod resolving;
mod stats;
mod stores;
mod user;
mod variation;
mod waiting;
mod warn;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::prelude::*;

/// Reads flag files as the file data source does, and returns what they hold together as JSON text.
#[pyfunction]
fn read_flag_files(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<String> {
    py.detach(|| crate::source::read_files(&paths))
        .map_err(PyValueError::new_err)
}

/// The interpreter that loads this module, told by where its `sys` is; 0 while none has.
static LOADED_BY: AtomicUsize = AtomicUsize::new(0);

/// Fails in every interpreter of the process but the first one. They would share the classes made here, and the
/// interpreter's caches of attributes would answer for a class with another one's attributes.
fn belong_to_one_interpreter(py: Python<'_>) -> PyResult<()> {
    let here = py.import("sys")?.as_ptr().addr();
    match LOADED_BY.compare_exchange(0, here, Ordering::AcqRel, Ordering::Acquire) {
        Err(first) if first != here => Err(PyImportError::new_err(
            "another interpreter of this process has loaded ldclient._ldclient",
        )),
        _ => Ok(()),
    }
}

/// The native core of the ldclient package. Everything public is in `ldclient`.
#[pymodule]
fn _ldclient(module: &Bound<'_, PyModule>) -> PyResult<()> {
    belong_to_one_interpreter(module.py())?;
    crate::client::fork::install();
    names::install(module.py());
    module.add("VERSION", options::VERSION)?;
    module.add_class::<client::PyClient>()?;
    module.add_class::<big_segments::BigSegmentWatch>()?;
    module.add_class::<redis_stores::PyRedisBigSegments>()?;
    module.add_class::<redis_stores::PyRedisConnections>()?;
    module.add_class::<redis_stores::PyRedisStore>()?;
    module.add_class::<context::PyContext>()?;
    module.add_class::<context::PyContextBuilder>()?;
    module.add_class::<context::PyContextMultiBuilder>()?;
    module.add_class::<detail::EvaluationDetail>()?;
    module.add_class::<flags_state::FeatureFlagsState>()?;
    module.add_class::<flush::FlushResult>()?;
    module.add_class::<stores::StoreWork>()?;
    module.add_function(wrap_pyfunction!(ending::keep_out, module)?)?;
    module.add_function(wrap_pyfunction!(ending::nobody_inside, module)?)?;
    module.add_function(wrap_pyfunction!(read_flag_files, module)?)?;
    module.add_function(wrap_pyfunction!(registry::flush_all, module)?)?;
    module.add_function(wrap_pyfunction!(context::context_of, module)?)?;
    module.add_function(wrap_pyfunction!(notices::wait_for_notices, module)?)?;
    module.add_function(wrap_pyfunction!(notices::wake_listeners, module)?)?;
    module.add_function(wrap_pyfunction!(registry::close_all, module)?)?;
    module.add_function(wrap_pyfunction!(registry::take_log_records, module)?)
}
