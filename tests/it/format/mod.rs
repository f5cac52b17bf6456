//! The `.npy` format, compared with NumPy.

mod npy;
mod numpy_roundtrip;
mod reference;
