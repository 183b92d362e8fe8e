//! The public listener: routes and limits.

pub mod delivery;
