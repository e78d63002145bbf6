//! Skeleton; the architecture page comes with the last part.

pub mod model;
pub mod evaluation;
