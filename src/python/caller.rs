//! Whom a call means: a `Context`, a dict that is a user, or one that is a context written as JSON. What each of them has
//! for evaluation is `context`'s and `user`'s question.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::context::PyContext;
use super::convert::type_name;
use super::ending::Inside;
use super::user::{self, DictUser};
use super::{names, warn};
use crate::model::Context;

/// Whom a caller asks for.
pub(super) enum Caller<'a, 'py> {
    Context(&'a Arc<Context>),
    User(DictUser<'a, 'py>),
}

/// Reads whom the caller means, and calls `then`. Says once what is wrong with it where nobody is meant.
#[inline]
pub(super) fn with_caller<'py, R>(
    py: Python<'py>,
    context: Option<&Bound<'py, PyAny>>,
    purpose: &str,
    then: impl FnOnce(&Caller<'_, 'py>) -> R,
) -> Option<R> {
    let Some(context) = context else {
        warn::once(py, &format!("nobody:{purpose}"), || {
            format!("There is no user or context to {purpose}.")
        });
        return None;
    };
    if let Ok(context) = context.cast::<PyContext>() {
        return match &context.get().context {
            Ok(context) => Some(then(&Caller::Context(context))),
            Err(error) => {
                warn::once(py, &format!("invalid:{error}"), || {
                    format!("A context is invalid ({error}); there is nobody to {purpose}.")
                });
                None
            }
        };
    }
    // A dict's keys and values may be of classes written in Python.
    let _inside = Inside::enter(py);
    let Ok(dict) = context.cast::<PyDict>() else {
        warn::once(py, &format!("type:{}", type_name(context)), || {
            format!(
                "A user must be a dict or a Context, not {}; there is nobody to {purpose}.",
                type_name(context)
            )
        });
        return None;
    };
    let (mut holder, text) = (None, user::text_key(dict));
    let Some(form) = user::form_of(dict, text.as_ref()) else {
        let context = user::context_from_dict(dict);
        return match &context.context {
            Ok(context) => Some(then(&Caller::Context(context))),
            Err(error) => {
                warn::once(py, &format!("invalid:{error}"), || {
                    format!("A context is invalid ({error}); there is nobody to {purpose}.")
                });
                None
            }
        };
    };
    let Some(key) = user::key_of(dict, &mut holder, text.as_ref()) else {
        warn::once(py, "no key", || {
            format!("A user has no \"key\"; there is nobody to {purpose}.")
        });
        return None;
    };
    Some(then(&Caller::User(DictUser::new(dict, key, form))))
}

/// Whether the dict is a context written as JSON, not a user.
pub(super) fn is_context_json(dict: &Bound<'_, PyDict>) -> bool {
    names::KIND.of(dict).is_some()
}
