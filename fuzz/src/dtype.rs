//! Dtypes as people write them, and as headers hold them.

use npyd::npy::{Dtype, Header, Literal, Order};

use super::assertions::{assert_clear, assert_loads};

/// Checks dtypes.
///
/// # Panics
/// npyd accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let dtype = match Dtype::from_text(text) {
        Ok(dtype) => dtype,
        Err(error) => return assert_clear(&error.to_string()),
    };
    assert!(i32::try_from(dtype.itemsize()).is_ok());
    let descr = dtype.to_string();
    assert_eq!(Dtype::from_text(&descr).unwrap(), dtype, "{descr}");
    assert_eq!(Dtype::from_literal(&Literal::parse(&descr).unwrap()).unwrap(), dtype, "{descr}");
    for order in [Order::C, Order::F] {
        let header = Header::new(dtype.clone(), order, vec![3, 4]).unwrap();
        match header.check_loadable() {
            Ok(()) => assert_loads(&header.numpy_bytes(), &header),
            Err(error) => assert_clear(&error.to_string()),
        }
    }
}
