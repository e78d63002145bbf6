//! Skeleton; the architecture page comes with the last part.

pub mod evaluation;
pub mod events;
pub mod model;
pub mod store;
pub mod transport;
