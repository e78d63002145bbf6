//! Skeleton; the architecture page comes with the last part.

pub mod client;
pub mod evaluation;
pub mod events;
pub mod model;
#[cfg(feature = "python")]
mod python;
pub mod source;
pub mod store;
pub mod transport;
