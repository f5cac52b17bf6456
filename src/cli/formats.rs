//! `npyd formats`: the instruments' sidecars that are understood.

use super::{End, print};
use crate::recognize::formats::FORMATS;

pub(super) fn run() -> End {
    for format in FORMATS {
        print(format.name);
        for (label, text) in
            [("files", format.files), ("reads", format.reads), ("complete by", format.proof)]
        {
            print(&format!("  {label:<12} {text}"));
        }
    }
    End::Well
}
