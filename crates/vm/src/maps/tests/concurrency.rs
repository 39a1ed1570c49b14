//! Several threads at one map.
