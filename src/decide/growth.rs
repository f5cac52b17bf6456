//! How the reason of a wait depends on the growth of the files: a wait for the same thing is not
//! reported again while its producer writes.

use crate::decide::reason::Reason;

impl Reason {
    /// Returns whether a wait for this reason has lasted for as long as the files are unchanged,
    /// because it follows from their sizes and contents alone. `npyd take` overrides such a reason.
    #[must_use]
    pub fn lasts_while_unchanged(&self) -> bool {
        if let Reason::SizeByDtype { why, .. } = self {
            return why.lasts_while_unchanged();
        }
        matches!(
            self,
            Reason::Size(_)
                | Reason::SizeBySidecar { .. }
                | Reason::SizeOfPart(..)
                | Reason::SeriesTooLong { .. }
                | Reason::SizeOfComplete(_)
                | Reason::SizeByHeader(_)
                | Reason::Unfinished(_)
                | Reason::NotReady { .. }
                | Reason::NoMarker
        )
    }

    /// Returns whether another reason differs from this one at most in how many bytes the producer
    /// has written, and to which of several data files.
    #[must_use]
    pub fn is_same_but_for_growth(&self, other: &Reason) -> bool {
        self.without_growth() == other.without_growth()
    }

    /// Returns the reason without what changes while a producer writes.
    fn without_growth(&self) -> Reason {
        match self {
            Reason::Writing { .. } => Reason::Writing { allocated: 0, size: 0, fit: None },
            Reason::DescriptionWriting { .. } => Reason::DescriptionWriting { fit: None },
            Reason::NotReady { .. } => Reason::NotReady { allocated: 0, size: 0 },
            Reason::Size(fit) | Reason::SizeOfPart(_, fit) => Reason::Size(fit.without_growth()),
            Reason::SizeOfComplete(fit) => Reason::SizeOfComplete(fit.without_growth()),
            Reason::SizeByHeader(fit) => Reason::SizeByHeader(fit.without_growth()),
            Reason::SizeBySidecar { fit, sidecar, keys, .. } => {
                let (fit, sidecar) = (fit.without_growth(), sidecar.clone());
                Reason::SizeBySidecar { fit, sidecar, keys, part: None }
            }
            Reason::SizeByDtype { why, dtype } => {
                Reason::SizeByDtype { why: Box::new(why.without_growth()), dtype: *dtype }
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::SizeFit;

    #[test]
    fn only_growth_makes_no_difference() {
        let short = |size, of| {
            Reason::Size(SizeFit::TooShort { size, of, data: size, record: 8, records: None })
        };
        let writing = |size| Reason::Writing { allocated: size, size, fit: None };
        assert!(short(8, 80).is_same_but_for_growth(&short(16, 80)));
        assert!(writing(8).is_same_but_for_growth(&writing(16)));
        // Its description was corrected, or its producer ended.
        assert!(!short(8, 80).is_same_but_for_growth(&short(8, 160)));
        assert!(!writing(8).is_same_but_for_growth(&short(8, 80)));
    }
}
