//! The copy route: all bytes are copied behind a new header. It applies to every drop.

use crate::decide::plan::Steps;
use crate::decide::route::NewFile;
use crate::decide::routes::Request;

/// Returns NumPy's own header, and the range of the data that is copied behind it.
pub(crate) fn steps(request: &Request<'_>) -> Steps {
    let Request { dump, header, .. } = request;
    let (offset, len) = (dump.data_offset, header.data_len());
    Steps::Copy(NewFile { head: header.numpy_bytes(), offset, len })
}
