//! End-to-end tests: the real binary on real files, with real NumPy and real producers.

mod support;

/// The test suite's own reference for .npy files is right: NumPy reads it, and writes the same.
mod reference;
