//! All that the ledger has about one drop, for the decision what to do with it.

use std::path::Path;

use crate::ledger::losses::loss_in;
use crate::ledger::requests::{declared_in, latest_success};
use crate::ledger::row::latest;
use crate::ledger::{Earlier, Entry, Ledger, Result, RowKind};

/// What the ledger has about a drop that is to be decided about.
pub struct KnownDrop {
    /// The newest receipt.
    pub latest: Option<Entry>,
    /// What was declared about the drop, as JSON.
    pub declared: Option<String>,
    /// Its earlier arrays.
    pub earlier: Earlier,
    /// Whether its array was requested, and was not made since.
    pub is_requested: bool,
    /// Why its data may be lost.
    pub loss: Option<String>,
}

impl Ledger {
    /// Returns what the ledger has about a drop: the path of its source, its inode, and its
    /// contents. Reads all of it in one transaction, because SQLite locks the file for each.
    pub fn known_drop(
        &self,
        source: &Path,
        ino: u64,
        contents: impl Iterator<Item = String>,
    ) -> Result<KnownDrop> {
        let contents: Vec<String> = contents.collect();
        let mut earlier = Earlier::default();
        let (mut newest, mut success, is_of_other) = self.read_unsaved(|db| {
            let is_of_other = earlier.read(db, source, ino)?;
            Ok((latest(db, source)?, latest_success(db, source)?, is_of_other))
        })?;
        let pending = self.pending_loss_of(&contents);
        let (declared, loss) = self.run(|db| {
            let transaction = db.unchecked_transaction()?;
            let stored = latest(db, source)?;
            // Without a receipt there is nothing else to find among the receipts.
            if stored.is_some() && !is_of_other {
                earlier.read(db, source, ino)?;
            }
            if stored.is_some() && success.is_none() {
                success = latest_success(db, source)?;
            }
            newest = newest.take().or(stored);
            let found = (declared_in(db, source)?, loss_in(db, &contents)?);
            transaction.finish()?;
            Ok(found)
        })?;
        let is_requested = matches!(success, Some(RowKind::Request(_)));
        Ok(KnownDrop { latest: newest, declared, earlier, is_requested, loss: pending.or(loss) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fingerprint::Fingerprint;
    use crate::decide::reason::Reason;
    use crate::decide::request_kind::RequestKind;
    use crate::decide::request_target::RequestTarget;
    use crate::decide::source_identity::SourceIdentity;
    use crate::events::receipt::Receipt;
    use crate::events::receipt_event::ReceiptEvent;
    use crate::events::source_fate::SourceFate;
    use crate::ledger::lock;

    /// One transaction finds what single queries find, also in what is kept in memory.
    #[test]
    fn all_about_a_drop() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let source = Path::new("/in/a");
        let note = |event, data: &str| {
            let why = Reason::NoMarker;
            let mut receipt = Receipt::without_output(event, "/in".into(), source.into(), &why);
            receipt.source_fate = Some(SourceFate::Kept);
            let key = Fingerprint { settings_hash: 1, identity: SourceIdentity::parse(data) };
            drop(ledger.record(&[(receipt, Some(key))]));
        };
        let check = || {
            let contents = || ["x", "y"].map(str::to_owned).into_iter();
            let known = ledger.known_drop(source, 1, contents()).unwrap();
            let events = |entry: Option<Entry>| entry.map(|it| (it.at, it.kind));
            assert_eq!(events(known.latest), events(ledger.latest(source).unwrap()));
            assert_eq!(known.earlier, ledger.earlier_arrays(source, 1).unwrap());
            assert_eq!(known.declared, ledger.declared(source).unwrap());
            assert_eq!(known.is_requested, ledger.is_requested(source).unwrap());
            assert_eq!(known.loss, ledger.data_loss_of(contents()).unwrap());
            (known.earlier.identities.len(), known.is_requested, known.loss)
        };
        assert_eq!(check(), (0, false, None));
        note(ReceiptEvent::Finalized, "1:1:1:1");
        note(ReceiptEvent::Failed, "1:1:1:1");
        assert_eq!(check(), (1, false, None));
        ledger
            .add_request(
                RequestKind::Redo,
                Path::new("/in"),
                source,
                ("{}", &RequestTarget::default()),
            )
            .unwrap();
        let request = ledger.requests(Path::new("/in")).unwrap().remove(0);
        ledger.accept_request(&request, source, Some("{}")).unwrap();
        assert_eq!(check(), (1, true, None));
        ledger.record_data_loss(["y".to_owned()].into_iter(), "lost").unwrap();
        assert_eq!(check(), (1, true, Some("lost".to_owned())));

        let refuse_writes = |refused: bool| {
            lock(&ledger.connection).pragma_update(None, "query_only", refused).unwrap();
        };
        refuse_writes(true);
        note(ReceiptEvent::Remade, "1:2:2:2");
        assert_eq!(check(), (2, false, Some("lost".to_owned())));
        drop(ledger.record_data_loss(["x".to_owned()].into_iter(), "pending"));
        assert_eq!(check(), (2, false, Some("pending".to_owned())));
    }
}
