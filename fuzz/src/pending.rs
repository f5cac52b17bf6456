//! Pending files: the input is the file.

use npyd::describe::from_header;
use npyd::npy::{Kind, PendingState, Preamble, commit_bytes, parse_header, pending_bytes};

use super::assertions::{assert_becomes_an_array, assert_clear, name};

/// Checks pending files.
///
/// # Panics
/// npyd accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(file: &[u8]) {
    let Ok(Some(preamble)) = Preamble::read(&file[..file.len().min(Preamble::LEN)]) else { return };
    let head_len = usize::try_from(preamble.data_offset).unwrap().min(file.len());
    let head = file[..head_len].to_vec();
    let dump = match from_header(&name("x.npy.part"), preamble, head.clone(), file.len() as u64) {
        Ok(dump) => dump.expect("under a pending name every header awaits something"),
        Err(error) => return assert_clear(&error.to_string()),
    };
    assert_eq!(dump.output.as_str(), "x.npy");
    assert_eq!(dump.data_offset, head_len as u64);
    assert_becomes_an_array(&dump);

    // With the eight final bytes it has the layout that it declares, unless its shape is open.
    let mut committed = head;
    committed[..8].copy_from_slice(&commit_bytes(preamble.major));
    let last = Preamble::read(&committed).unwrap().unwrap();
    assert_eq!(last, Preamble { kind: Kind::Final, ..preamble });
    match parse_header(&last, &committed, u64::MAX) {
        Ok(layout) => assert_eq!(layout, dump.layout),
        Err(_) => assert!(dump.layout.shape.is_open()),
    }

    for state in [PendingState::Writing, PendingState::Ready] {
        match pending_bytes(&dump.layout, state, Some(preamble.data_offset)) {
            Ok(bytes) => {
                let again = Preamble::read(&bytes).unwrap().unwrap();
                assert_eq!(again.kind, Kind::Pending(state));
                assert_eq!(again.data_offset, preamble.data_offset);
                assert_eq!(parse_header(&again, &bytes, u64::MAX).unwrap(), dump.layout);
            }
            Err(error) => assert_clear(&error.to_string()),
        }
    }
}
