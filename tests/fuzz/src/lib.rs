//! The bridge's parsers, taken in file by file, for the fuzz targets in `bin`.

#![allow(dead_code, reason = "a target uses a part of what the files offer")]

#[path = "../../../src/dialect/mod.rs"]
pub mod dialect;
#[path = "../../../src/event/mod.rs"]
pub mod event;
#[path = "../../../src/time.rs"]
pub mod time;

pub mod verify;
