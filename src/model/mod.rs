//! The data: flags, segments, contexts and their parts, compiled once when they arrive.
//! No I/O, no clock, no thread, no log: who reads or evaluates them is another folder's question.

mod attribute;
mod clause;
mod context;
mod flag;
mod keys;
mod operands;
mod rollout;
mod segment;
mod value;

pub use attribute::{AttributeError, AttributeRef, Role};
pub use clause::{Clause, Comparison, Needles, Pattern, Test, parse_time_ms, parse_version};
pub use context::{Context, ContextError, Individual, Kind, Parts};
pub use flag::{Flag, Prerequisite, Rule, Target};
pub(crate) use flag::{RawFlag, invalid_patterns};
pub use keys::{Key, KeySet, hash_of};
pub use rollout::{Choice, Rollout, Share, bucket_prefix};
pub(crate) use segment::RawSegment;
pub use segment::{Segment, SegmentRule, SegmentTarget};
pub use value::Value;
pub(crate) use value::int_equals_float;
