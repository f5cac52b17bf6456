//! Looks up what the ledger knows of one drop or array, for the tracker and `npyd explain`.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, ToSql, params};

use crate::decide::array_receipt::{ArrayId, ArrayReceipt};
use crate::decide::evidence::Evidence;
use crate::decide::fingerprint::Fingerprint;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::request_problem::RequestProblem;
use crate::decide::source_identity::SourceIdentity;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
use crate::ledger::packed_key::PackedKey;
use crate::ledger::row::{COLUMNS, HAS_PARTS, IS_DIR_FAULT, OF_OUTPUT, OF_SOURCE, of_source};
use crate::ledger::row_kind::{REFUSED, UNPROVEN};
use crate::ledger::search::Search;
use crate::ledger::stored_path::{StoredPath, StoredPathBuf};
use crate::ledger::{Entry, HistoryFilter, Ledger, Result, RowKind};

/// Maximum number of receipts of a directory that are read at once.
const PAGE: usize = 1000;

impl Entry {
    /// Returns the key of the source at that time, if the receipt has one.
    #[must_use]
    pub fn key(&self) -> Option<Fingerprint> {
        Fingerprint::parse(&self.fingerprint)
    }

    /// Returns what the files of the drop looked like.
    #[must_use]
    pub fn identity(&self) -> Option<SourceIdentity> {
        Some(self.key()?.identity)
    }

    /// Returns the name of the file that described the source.
    #[must_use]
    pub fn sidecar(&self) -> Option<String> {
        self.key()?.identity.sidecar.map(|(name, _)| name)
    }

    /// Returns whether an array was made or found.
    #[must_use]
    pub fn has_array(&self) -> bool {
        self.is_settled() && !self.is_rejected()
    }

    /// Returns whether the drop changed, and its array was left as it was (`on_change = "keep"`).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.kind == RowKind::Event(ReceiptEvent::Found)
            && self.reason_kind() == Some(ReasonKind::Changed)
    }

    /// Returns whether an attempt failed, for a reason that may pass.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.kind == RowKind::Event(ReceiptEvent::Failed)
    }

    /// Returns a field of the receipt that is a text.
    #[must_use]
    pub fn receipt_field(&self, name: &str) -> Option<String> {
        self.receipt_value()[name].as_str().map(str::to_owned)
    }

    /// Returns whether the entry settles a drop with these files under these settings. A rejected
    /// drop is tried again under new settings; a finished one is not.
    #[must_use]
    pub fn settles(&self, identity: &SourceIdentity, settings_hash: u64) -> bool {
        self.is_settled()
            && self.key().is_some_and(|key| {
                key.identity == *identity
                    && (!self.is_rejected() || key.settings_hash == settings_hash)
            })
    }

    /// Returns whether the array of a drop with these files was made, and at most attributes of the
    /// files changed since.
    #[must_use]
    pub fn has_array_of(&self, identity: &SourceIdentity) -> bool {
        self.has_array()
            && !self.source_fate().is_some_and(SourceFate::ends_drop)
            && self.key().is_some_and(|key| key.identity.is_of_files(identity))
    }

    /// Returns why a drop with these files needs no `npyd take`: all of its data are in an array.
    #[must_use]
    pub fn why_not_taken(
        &self,
        identity: &SourceIdentity,
        settings_hash: u64,
    ) -> Option<RequestProblem> {
        let evidence = self.receipt_field("evidence");
        let evidence = evidence.and_then(|name| Evidence::from_name(&name));
        let is_partial = evidence.is_some_and(Evidence::is_partial);
        if is_partial || !self.has_array() || !self.settles(identity, settings_hash) {
            return None;
        }
        let array = self.output.as_deref().unwrap_or(&self.source).to_path_buf();
        let name = self.source.file_name().unwrap_or_default().into();
        Some(RequestProblem::Finished { array, name })
    }

    /// Returns the reason for waiting for a missing data file, which this entry is about. If an
    /// earlier file of that name became an array, the reason names the array. If npyd rejected it
    /// and moved it to `rejects`, the reason says so.
    #[must_use]
    pub fn add_earlier_data(self, why: Reason, has_rejects: bool) -> Reason {
        if self.is_rejected() && has_rejects && !self.is_lost() {
            let name = self.source.file_name().unwrap_or_default().into();
            return Reason::DataRejected { why: Box::new(why), name, rejected: self.reason() };
        }
        if !self.has_array() {
            return why;
        }
        let sidecar = self.sidecar();
        match self.output {
            Some(array) => Reason::NoNewData { why: Box::new(why), array, sidecar },
            None => why,
        }
    }
}

impl Ledger {
    /// Returns what proves that a file is the array of this entry.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub fn array_receipt(&self, entry: &Entry) -> Result<ArrayReceipt> {
        let mut identities = Vec::from_iter(entry.identity());
        if !entry.source_fate().is_some_and(SourceFate::ends_drop) {
            let ino = identities.first().map_or(0, SourceIdentity::ino);
            identities.extend(self.earlier_arrays(&entry.source, ino)?.identities);
        }
        let is_found = entry.receipt_event() == ReceiptEvent::Found.as_str();
        let became_array = entry.source_fate() == Some(SourceFate::Array);
        let array_id = entry.receipt_field("array_id").and_then(|id| ArrayId::parse(&id));
        let len = entry.receipt_value()["bytes"].as_u64().filter(|_| !is_found);
        let at = entry.time();
        Ok(ArrayReceipt {
            identities,
            at,
            is_found,
            became_array,
            array_id,
            len,
            source: entry.source.clone(),
        })
    }

    /// Returns the newest receipt about an array that was made of a source when its files looked
    /// like this. Reads the receipts of that source.
    pub fn array_made_of(&self, source: &Path, identity: &SourceIdentity) -> Result<Option<Entry>> {
        let is_found = |entry: &Entry| entry.receipt_event() == ReceiptEvent::Found.as_str();
        let [dir, name] = of_source(source);
        let search = Search { condition: OF_SOURCE, params: &[&dir, &name], after: 0 };
        self.find_newest(&search, |entry| {
            let is_made = entry.has_array() && !is_found(entry);
            is_made && entry.identity().is_some_and(|known| known == *identity)
        })
    }

    /// Returns the newest failure in a drop directory that is the fault of a directory, if no drop
    /// succeeded since.
    pub fn latest_dir_fault(&self, drop_dir: &Path) -> Result<Option<Entry>> {
        self.run(|db| {
            let fault = db
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM receipts
                     WHERE inbox = (SELECT id FROM dirs WHERE path = ?1)
                     AND {IS_DIR_FAULT} ORDER BY receipts.id DESC LIMIT 1"
                ))?
                .query_row([StoredPath(drop_dir)], Entry::from_row)
                .optional()?;
            let Some(fault) = fault else { return Ok(None) };
            let mut success = db.prepare_cached(&format!(
                "SELECT 1 FROM receipts WHERE inbox = (SELECT id FROM dirs WHERE path = ?1)
                 AND receipts.id > ?2 AND event IN ('finalized', 'remade', 'found', '{UNPROVEN}')
                 LIMIT 1"
            ))?;
            let has_ended = success.exists(params![StoredPath(drop_dir), fault.id])?;
            Ok(Some(fault).filter(|_| !has_ended))
        })
    }

    /// Returns the newest receipt about a source of which an array was made or found.
    pub fn latest_array(&self, source: &Path) -> Result<Option<Entry>> {
        self.run(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM receipts WHERE {OF_SOURCE}
                 AND event IN ('finalized', 'remade', 'found', '{UNPROVEN}')
                 ORDER BY receipts.id DESC LIMIT 1"
            ))?
            .query_row(of_source(source), Entry::from_row)
            .optional()
        })
    }

    /// Returns the newest receipt about an array of this path.
    pub fn latest_of_array(&self, array: &Path) -> Result<Option<Entry>> {
        self.run(|db| {
            db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM receipts WHERE {OF_OUTPUT}
                 AND event != '{REFUSED}' ORDER BY receipts.id DESC LIMIT 1"
            ))?
            .query_row(of_source(array), Entry::from_row)
            .optional()
        })
    }

    /// Returns the newest receipt with an array of a source that `is_it` accepts.
    pub fn latest_with_array(
        &self,
        source: &Path,
        is_it: impl Fn(&Path) -> bool,
    ) -> Result<Option<Entry>> {
        let [dir, name] = of_source(source);
        let search = Search { condition: OF_SOURCE, params: &[&dir, &name], after: 0 };
        let is_it =
            |entry: &Entry| entry.has_array() && entry.output.as_deref().is_some_and(&is_it);
        match self.read_unsaved(|db| search.newest_in(db, is_it))? {
            Some(entry) => Ok(Some(entry)),
            None => self.find_newest(&search, is_it),
        }
    }

    /// Returns the newest receipt about a drop in the directory of this file, and below, whose
    /// description had the file's name. Prefers drops whose names begin like that of the file.
    /// If it finds none of these, looks at all drops of that directory.
    pub fn latest_described_by(&self, description: &Path) -> Result<Option<Entry>> {
        let Some(name) = description.file_name().and_then(|name| name.to_str()) else {
            return Ok(None);
        };
        let dirs = self.dir_ids_below(description.parent().unwrap_or(Path::new("/")))?;
        let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(name);
        for (from, to) in [(stem, format!("{stem}{}", char::MAX)), ("", char::MAX.to_string())] {
            let mut newest = 0;
            for dir in &dirs {
                newest = self.newest_described(*dir, (from, &to), name)?.max(newest);
            }
            if newest > 0 {
                let search = Search { condition: "receipts.id = ?1", params: &[&newest], after: 0 };
                return self.find_newest(&search, |_| true);
            }
        }
        Ok(None)
    }

    /// Returns the id of the newest receipt about a drop in a directory that had this description,
    /// and whose name is from `from` to `to`. Returns 0 if there is no such receipt.
    fn newest_described(
        &self,
        dir: i64,
        (from, to): (&str, &str),
        description: &str,
    ) -> Result<i64> {
        let (mut last, mut newest) = ((PathBuf::from(from), 0), 0);
        loop {
            let count = self.run(|db| {
                let mut statement = db.prepare_cached(&format!(
                    "SELECT receipts.id, source, fingerprint FROM receipts WHERE source_dir = ?1
                     AND source < ?4 AND (source, receipts.id) > (?2, ?3) AND event != '{REFUSED}'
                     ORDER BY source, receipts.id LIMIT {PAGE}"
                ))?;
                let mut rows = statement.query(params![dir, StoredPath(&last.0), last.1, to])?;
                let mut count = 0;
                while let Some(row) = rows.next()? {
                    let name = row.get::<_, StoredPathBuf>(1)?.0;
                    last.1 = row.get(0)?;
                    if PackedKey::has_sidecar(row.get_ref(2)?, &name, description) {
                        newest = newest.max(last.1);
                    }
                    last.0 = name;
                    count += 1;
                }
                Ok(count)
            })?;
            if count < PAGE {
                return Ok(newest);
            }
        }
    }

    /// Returns the newest receipt about a drop in the directory of this file, and below, with
    /// several data files, that `is_part` accepts.
    pub fn latest_with_part(
        &self,
        file: &Path,
        is_part: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>> {
        let dirs = self.dir_ids_below(file.parent().unwrap_or(Path::new("/")))?;
        let condition = format!("source_dir = ?1 AND {HAS_PARTS} AND event != '{REFUSED}'");
        self.find_newest_of_dirs(&dirs, (&condition, &[]), is_part)
    }

    /// Returns the newest receipt about an archived source with one of these names that `is_it`
    /// accepts.
    pub fn archived_named(
        &self,
        names: &[&Path],
        is_it: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>> {
        let dirs = self.dir_ids_below(Path::new("/"))?;
        let mut newest: Option<Entry> = None;
        for name in names {
            let name: [&dyn ToSql; 1] = [&StoredPath(name)];
            let of_name = ("source_dir = ?1 AND source = ?2", &name[..]);
            let is_it = |entry: &Entry| is_archived(entry) && is_it(entry);
            let found = self.find_newest_of_dirs(&dirs, of_name, is_it)?;
            newest = found.into_iter().chain(newest).max_by_key(|entry| entry.id);
        }
        Ok(newest)
    }

    /// Returns the newest receipt about an archived source that `is_it` accepts. Reads all
    /// receipts.
    pub fn newest_archived(&self, is_it: impl Fn(&Entry) -> bool) -> Result<Option<Entry>> {
        let is_it = |entry: &Entry| is_archived(entry) && is_it(entry);
        let mut found = None;
        let all = HistoryFilter::default();
        self.newest_history(&all, 1, is_it, |entry| found = Some(entry))?;
        Ok(found)
    }

    /// Returns whether npyd archived sources in a directory, as receipts say. A path that is not
    /// UTF-8 counts as none: receipts are JSON.
    pub fn is_archive(&self, dir: &Path) -> Result<bool> {
        self.run(|db| {
            db.prepare_cached("SELECT 1 FROM archives WHERE path = ?1")?.exists([StoredPath(dir)])
        })
    }
}

fn is_archived(entry: &Entry) -> bool {
    entry.source_fate() == Some(SourceFate::Archived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::receipt::Receipt;

    fn entry(event: ReceiptEvent, key: &Fingerprint) -> Entry {
        let ledger = Ledger::in_memory().unwrap();
        let why = Reason::Gone;
        let source = Path::new("/in/a");
        let mut receipt = Receipt::without_output(event, "/in".into(), source.to_path_buf(), &why);
        if event == ReceiptEvent::Finalized {
            receipt.output = Some("/out/a.npy".into());
        }
        ledger.record(&[(receipt, Some(key.clone()))]).unwrap();
        let of_array = ledger.latest_of_array(Path::new("/out/a.npy")).unwrap();
        assert_eq!(of_array.is_some(), event == ReceiptEvent::Finalized);
        assert!(ledger.latest_of_array(source).unwrap().is_none());
        ledger.latest(source).unwrap().unwrap()
    }

    #[test]
    fn the_fault_of_a_directory() {
        let ledger = Ledger::in_memory().unwrap();
        let record = |drop_dir: &str, event, dir: Option<&str>| {
            let why = Reason::Gone;
            let source = Path::new(drop_dir).join("a");
            let receipt = Receipt::without_output(event, drop_dir.into(), source, &why);
            let receipt = Receipt { dir: dir.map(Into::into), ..receipt };
            ledger.record(&[(receipt, None)]).unwrap();
            let found = ledger.latest_dir_fault(Path::new("/in")).unwrap();
            found.and_then(|entry| entry.receipt_field("dir"))
        };
        assert_eq!(record("/in", ReceiptEvent::Failed, None), None);
        assert_eq!(record("/in", ReceiptEvent::Failed, Some("/out")).as_deref(), Some("/out"));
        assert_eq!(record("/in", ReceiptEvent::Failed, None).as_deref(), Some("/out"));
        assert_eq!(record("/in", ReceiptEvent::Rejected, None).as_deref(), Some("/out"));
        assert_eq!(record("/other", ReceiptEvent::Found, None).as_deref(), Some("/out"));
        assert_eq!(record("/in", ReceiptEvent::Found, None), None);
    }

    #[test]
    fn what_settles_a_drop() {
        let key = |settings_hash| Fingerprint {
            settings_hash,
            identity: SourceIdentity::parse("1:2:3:4"),
        };
        let identity = key(1).identity;
        let changed = SourceIdentity::parse("1:2:3:5");
        for (event, under_these, under_others) in [
            (ReceiptEvent::Finalized, true, true),
            (ReceiptEvent::Found, true, true),
            (ReceiptEvent::Rejected, true, false),
            (ReceiptEvent::Lost, true, false),
            (ReceiptEvent::Failed, false, false),
        ] {
            let entry = entry(event, &key(1));
            assert_eq!(entry.settles(&identity, 1), under_these, "{event:?}");
            assert_eq!(entry.settles(&identity, 2), under_others, "{event:?}");
            assert!(!entry.settles(&changed, 1), "{event:?}");
        }
    }

    #[test]
    fn the_drop_that_a_file_described() {
        let ledger = Ledger::in_memory().unwrap();
        let why = Reason::Gone;
        for (source, sidecar) in [
            ("/in/a", " 5:6:7:8 one two.toml"),
            ("/in/b", " 5:6:7:8 two.toml"),
            ("/in/b", " 5:6:7:9 other.toml"),
            ("/in0/c", " 5:6:7:8 two.toml"),
            ("/in/d", ""),
        ] {
            let identity = SourceIdentity::parse(&format!("1:2:3:4{sidecar}"));
            let key = Fingerprint { settings_hash: 1, identity };
            let receipt =
                Receipt::without_output(ReceiptEvent::Rejected, "/in".into(), source.into(), &why);
            ledger.record(&[(receipt, Some(key))]).unwrap();
        }
        for (description, source) in [
            ("/in/two.toml", Some("/in/b")),
            ("/in/one two.toml", Some("/in/a")),
            ("/in/o.toml", None),
            ("/in/below/two.toml", None),
            ("/two.toml", Some("/in0/c")),
        ] {
            let entry = ledger.latest_described_by(Path::new(description)).unwrap();
            let found = entry.map(|entry| entry.source);
            assert_eq!(found.as_deref(), source.map(Path::new), "{description}");
        }
    }

    #[test]
    fn an_earlier_file_of_that_name() {
        let why = || Reason::NoDataFile("a".into());
        let key = Fingerprint::default();
        let reason = entry(ReceiptEvent::Finalized, &key).add_earlier_data(why(), true);
        assert!(matches!(reason, Reason::NoNewData { .. }), "{reason}");
        let reason = entry(ReceiptEvent::Rejected, &key).add_earlier_data(why(), true);
        assert!(matches!(reason, Reason::DataRejected { .. }), "{reason}");
        for (event, has_rejects) in [
            (ReceiptEvent::Rejected, false),
            (ReceiptEvent::Lost, true),
            (ReceiptEvent::Failed, true),
        ] {
            assert_eq!(entry(event, &key).add_earlier_data(why(), has_rejects), why());
        }
    }
}
