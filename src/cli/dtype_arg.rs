//! The option `--dtype`.

use std::str::FromStr;

use crate::describe::BitsOrBytes;
use crate::npy::{Dtype, DtypeError};

/// A dtype on the command line, and how it is read if its text is ambiguous.
#[derive(Debug, Clone)]
pub(super) struct DtypeArg {
    pub(super) dtype: Dtype,
    pub(super) remark: Option<BitsOrBytes>,
}

impl FromStr for DtypeArg {
    type Err = DtypeError;

    fn from_str(text: &str) -> Result<Self, DtypeError> {
        Ok(DtypeArg { dtype: Dtype::from_text(text)?, remark: BitsOrBytes::of(text) })
    }
}
