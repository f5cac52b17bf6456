//! One `[[drop]]` table: a drop directory and what happens to the files in it.

use serde::Deserialize;

use crate::config::{
    Disposition, Duration, IgnoreRules, MetadataOutput, OnChange, OnConflict, Path, PathBuf,
    Readers, Salvage, Watch, resolve_path,
};
use crate::describe::Template;
use crate::model::Rate;

/// One drop directory and what is to happen to what lands in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct DropDir {
    /// The directory that is watched.
    #[serde(deserialize_with = "crate::config::path_value::deserialize")]
    pub path: PathBuf,
    /// Whether others drop files there; nobody does where a person names the files.
    #[serde(skip, default = "default_untrusted")]
    is_untrusted: bool,
    /// A hash of all its settings, which tells whether they changed; 0 without a configuration.
    #[serde(skip)]
    pub settings: u64,
    /// Where the `.npy` files go; beside the data if absent.
    #[serde(default, deserialize_with = "crate::config::path_value::deserialize_some")]
    pub output: Option<PathBuf>,
    /// Whether directories below are watched as well.
    #[serde(default)]
    pub recursive: bool,
    /// Names that are never drops.
    #[serde(default)]
    pub ignore: IgnoreRules,
    /// What becomes of the raw file once its `.npy` is durable.
    #[serde(default)]
    pub source: Disposition,
    /// Where raw files go with `source = "archive"`.
    #[serde(default, deserialize_with = "crate::config::path_value::deserialize_some")]
    pub archive: Option<PathBuf>,
    /// How long a dump must be unchanged where nothing stronger proves that it is complete.
    #[serde(default = "default_quiet", with = "crate::config::duration")]
    pub quiet: Duration,
    /// How new files are noticed.
    #[serde(default)]
    pub watch: Watch,
    /// How often the directory is listed, whatever the events said.
    #[serde(
        default = "default_rescan",
        deserialize_with = "crate::config::duration::deserialize_rescan"
    )]
    pub rescan: Duration,
    /// Who must be able to read the headers.
    #[serde(default)]
    pub readers: Readers,
    /// What to do when the output's name is taken.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Whether a raw file may go though nothing proves that nobody writes to it any more.
    #[serde(default)]
    pub remove_unproven: bool,
    /// What to do when a drop changes after its array was made.
    #[serde(default)]
    pub on_change: OnChange,
    /// Whether bytes beyond the declared end are tolerated.
    #[serde(default)]
    pub allow_trailing: bool,
    /// How fast bytes are moved at the most; as fast as it goes if absent.
    pub max_rate: Option<Rate>,
    /// What becomes of pending files whose writer died.
    #[serde(default)]
    pub salvage: Salvage,
    /// Where rejected drops go; left where they are if absent.
    #[serde(default, deserialize_with = "crate::config::path_value::deserialize_some")]
    pub rejects: Option<PathBuf>,
    /// Whether metadata are written beside the array.
    #[serde(default)]
    pub metadata: MetadataOutput,
    /// Files recognized by name.
    #[serde(default, rename = "template")]
    pub templates: Vec<Template>,
}

impl DropDir {
    /// A drop at `path` with every setting at its default: what `finalize` and `explain` use for a
    /// file that no configuration covers.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        DropDir {
            path: path.to_path_buf(),
            is_untrusted: false,
            settings: 0,
            output: None,
            recursive: false,
            ignore: IgnoreRules::none(),
            source: Disposition::Keep,
            archive: None,
            quiet: default_quiet(),
            watch: Watch::Auto,
            rescan: default_rescan(),
            readers: Readers::Numpy,
            on_conflict: OnConflict::Reject,
            remove_unproven: false,
            on_change: OnChange::Remake,
            allow_trailing: false,
            max_rate: None,
            salvage: Salvage::Quarantine,
            rejects: None,
            metadata: MetadataOutput::None,
            templates: Vec::new(),
        }
    }

    /// The directories npyd itself writes to; they are never taken for part of the drop, though
    /// they may lie inside it.
    pub fn managed_dirs(&self) -> impl Iterator<Item = &Path> {
        [&self.output, &self.archive, &self.rejects].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The directory, where others drop files into it.
    #[must_use]
    pub fn untrusted_root(&self) -> Option<&Path> {
        self.is_untrusted.then_some(self.path.as_path())
    }

    /// Whether files of that directory are drops.
    pub(crate) fn contains(&self, dir: &Path) -> bool {
        dir == self.path || self.recursive && dir.starts_with(&self.path)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.source, &self.archive) {
            (Disposition::Archive, None) => {
                return Err("source = \"archive\" needs archive = \"DIR\"".into());
            }
            (Disposition::Keep | Disposition::Remove, Some(_)) => {
                return Err("archive is set, but source is not \"archive\"".into());
            }
            _ => {}
        }
        if let Some(dir) =
            [&self.archive, &self.rejects].into_iter().flatten().find(|dir| **dir == self.path)
        {
            return Err(format!(
                "`{}` is the drop directory itself: choose another for archive and rejects",
                dir.display()
            ));
        }
        Ok(())
    }

    pub(crate) fn resolve(&mut self, base: &Path) {
        self.path = resolve_path(base, &self.path);
        for dir in [&mut self.output, &mut self.archive, &mut self.rejects].into_iter().flatten() {
            *dir = resolve_path(base, dir);
        }
        if self.output.as_deref() == Some(self.path.as_path()) {
            self.output = None; // beside the data, said in other words
        }
    }
}

fn default_untrusted() -> bool {
    true
}

fn default_quiet() -> Duration {
    Duration::from_secs(2)
}

fn default_rescan() -> Duration {
    Duration::from_mins(1)
}
