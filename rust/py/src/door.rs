//! The one door between Python and the core: releases the GIL, answers Ctrl-C, maps errors.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use dtlns_core::{Cancel, Error, Result};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::{ThreadPool, ThreadPoolBuilder};

pyo3::import_exception!(dtlns.errors, InputError);

/// How often a waiting call looks for signals.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// Turns an error of the core into the exception of the package.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    if *error == Error::Interrupted {
        return PyKeyboardInterrupt::new_err("interrupted");
    }
    let make = || -> PyResult<Bound<'_, PyAny>> {
        let details = PyDict::new(py);
        details.set_item("allowed", error.allowed())?;
        details.set_item("hint", error.hint())?;
        py.get_type::<InputError>()
            .call((error.to_string(),), Some(&details))
    };
    make().map_or_else(|failed| failed, PyErr::from_value)
}

/// The threads of this process. Threads do not survive a fork, so that a child makes its own.
static POOL: RwLock<Option<(u32, Arc<ThreadPool>)>> = RwLock::new(None);

fn new_pool() -> PyResult<ThreadPool> {
    // RAYON_NUM_THREADS is read here.
    ThreadPoolBuilder::new()
        .thread_name(|index| format!("dtlns-{index}"))
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start threads: {error}")))
}

/// `try_` throughout: a lock that was held at the moment of a fork stays held in the child for ever.
fn pool() -> PyResult<Arc<ThreadPool>> {
    let process = std::process::id();
    if let Ok(guard) = POOL.try_read() {
        if let Some((owner, pool)) = guard.as_ref() {
            if *owner == process {
                return Ok(Arc::clone(pool));
            }
        }
    }
    let pool = Arc::new(new_pool()?);
    if let Ok(mut guard) = POOL.try_write() {
        if let Some((owner, old)) = guard.replace((process, Arc::clone(&pool))) {
            if owner != process {
                // Its threads are the parent's; waiting for them to end would never end.
                std::mem::forget(old);
            }
        }
    }
    Ok(pool)
}

/// Runs `work` on the pool without the GIL, while this thread waits and looks for signals.
pub fn run<T: Send>(py: Python<'_>, work: impl FnOnce(&Cancel) -> Result<T> + Send) -> PyResult<T> {
    let pool = pool()?;
    let cancel = Cancel::new();
    let outcome = py.detach(|| {
        let (done, answer) = channel();
        pool.in_place_scope(|scope| {
            let cancel = &cancel;
            scope.spawn(move |_| {
                let result = catch_unwind(AssertUnwindSafe(|| work(cancel)));
                // The receiver outlives the scope, so that sending cannot fail.
                let _ = done.send(result);
            });
            let mut signal = None;
            loop {
                match answer.recv_timeout(SIGNALS_EVERY) {
                    Ok(result) => return (Some(result), signal),
                    Err(RecvTimeoutError::Disconnected) => return (None, signal),
                    Err(RecvTimeoutError::Timeout) if signal.is_none() => {
                        if let Err(raised) = Python::attach(|py| py.check_signals()) {
                            cancel.raise();
                            signal = Some(raised);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
        })
    });
    match outcome {
        (_, Some(signal)) => Err(signal),
        (Some(Ok(Ok(value))), None) => Ok(value),
        (Some(Ok(Err(error))), None) => Err(raise(py, &error)),
        (Some(Err(panic)), None) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(PyRuntimeError::new_err(format!(
                "internal error in the core: {message}"
            )))
        }
        (None, None) => Err(PyRuntimeError::new_err(
            "internal error in the core: no answer",
        )),
    }
}
