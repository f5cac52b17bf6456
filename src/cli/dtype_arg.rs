//! The option `--dtype`.

use std::str::FromStr;

use crate::describe::bits_or_bytes_remark;
use crate::npy::{Dtype, DtypeError};

/// A dtype on the command line, and the remark on how an ambiguous text is read.
#[derive(Debug, Clone)]
pub(super) struct DtypeArg {
    pub(super) dtype: Dtype,
    pub(super) remark: Option<String>,
}

impl FromStr for DtypeArg {
    type Err = DtypeError;

    fn from_str(text: &str) -> Result<Self, DtypeError> {
        Ok(DtypeArg { dtype: Dtype::from_text(text)?, remark: bits_or_bytes_remark(text) })
    }
}
