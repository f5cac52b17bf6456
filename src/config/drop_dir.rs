//! Drop directories: one `[[drop]]` table each, with the settings for the files in it.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::in_force::InForce;
use crate::config::{
    Disposition, Duration, IgnoreRules, Mapped, MetadataOutput, OnChange, OnConflict, Path,
    PathBuf, Readers, Salvage, Watch, resolve_path,
};
use crate::describe::Template;
use crate::model::Rate;

/// A drop directory and its settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct DropDir {
    /// The directory that npyd watches.
    #[serde(deserialize_with = "crate::config::path_value::deserialize")]
    pub path: PathBuf,
    /// Whether other users may drop files in the directory. False if a person names the files on
    /// the command line.
    #[serde(skip, default = "default_untrusted")]
    is_untrusted: bool,
    /// A hash of all settings of this table, to detect changes; 0 without a configuration.
    #[serde(skip)]
    pub table_hash: u64,
    /// A hash of the settings that can change whether a drop is rejected: npyd tries rejected drops
    /// again when it changes. It is 0 without a configuration.
    #[serde(skip)]
    pub settings_hash: u64,
    /// What the running process knows of these settings.
    #[serde(skip)]
    pub in_force: InForce,
    /// The directories inside this one that other drop directories use.
    #[serde(skip)]
    pub neighbors: Vec<PathBuf>,
    /// All drop directories, and all directories for archived and rejected files.
    #[serde(skip)]
    pub source_dirs: Arc<Vec<SourceDir>>,
    /// The directory for the `.npy` files; beside the data if absent.
    #[serde(default, deserialize_with = "crate::config::path_value::deserialize_some")]
    pub output: Option<PathBuf>,
    /// Whether npyd also watches all directories below.
    #[serde(default)]
    pub recursive: bool,
    /// Names that are never drops.
    #[serde(default)]
    pub ignore: IgnoreRules,
    /// What npyd does with the raw file once its `.npy` is durable.
    #[serde(default)]
    pub source: Disposition,
    /// The directory for raw files, with `source = "archive"`.
    #[serde(default, deserialize_with = "crate::config::path_value::deserialize_some")]
    pub archive: Option<PathBuf>,
    /// How long a dump must be unchanged if nothing stronger proves that it is complete.
    #[serde(default = "default_quiet", with = "crate::config::duration")]
    pub quiet: Duration,
    /// How npyd detects new files.
    #[serde(default)]
    pub watch: Watch,
    /// The interval of full directory scans, which npyd makes in addition to watching.
    #[serde(
        default = "default_rescan",
        deserialize_with = "crate::config::duration::deserialize_rescan"
    )]
    pub rescan: Duration,
    /// How long a file that nothing describes must be unchanged before npyd reports it.
    #[serde(default = "default_undescribed_after", with = "crate::config::duration")]
    pub undescribed_after: Duration,
    /// Who must be able to read the headers.
    #[serde(default)]
    pub readers: Readers,
    /// What to do if another file has the output's name.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Whether npyd may remove a raw file without proof that no process can write to it.
    #[serde(default)]
    pub remove_unproven: bool,
    /// What to do if a drop changes after its array was made.
    #[serde(default)]
    pub on_change: OnChange,
    /// Whether bytes beyond the declared end of the data are tolerated.
    #[serde(default)]
    pub allow_trailing: bool,
    /// The maximum rate of copies; unlimited if absent.
    pub max_rate: Option<Rate>,
    /// Whether copies fill the array through a mapping.
    #[serde(default)]
    pub mapped: Mapped,
    /// What to do with pending files whose writer died.
    #[serde(default)]
    pub salvage: Salvage,
    /// The directory for rejected drops; they stay where they are if absent.
    #[serde(default, deserialize_with = "crate::config::path_value::deserialize_some")]
    pub rejects: Option<PathBuf>,
    /// Whether npyd writes metadata beside the array.
    #[serde(default)]
    pub metadata: MetadataOutput,
    /// Descriptions of files by their names.
    #[serde(default, rename = "template")]
    pub templates: Vec<Template>,
}

impl DropDir {
    /// Returns a drop directory with default settings. `npyd finalize` and `npyd explain` use it
    /// for a file that is in no configured drop directory.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        DropDir {
            path: path.to_path_buf(),
            is_untrusted: false,
            table_hash: 0,
            settings_hash: 0,
            in_force: InForce::default(),
            neighbors: Vec::new(),
            source_dirs: Arc::default(),
            output: None,
            recursive: false,
            ignore: IgnoreRules::none(),
            source: Disposition::Keep,
            archive: None,
            quiet: default_quiet(),
            watch: Watch::Auto,
            rescan: default_rescan(),
            undescribed_after: default_undescribed_after(),
            readers: Readers::Numpy,
            on_conflict: OnConflict::Reject,
            remove_unproven: false,
            on_change: OnChange::Remake,
            allow_trailing: false,
            max_rate: None,
            mapped: Mapped::Auto,
            salvage: Salvage::Quarantine,
            rejects: None,
            metadata: MetadataOutput::None,
            templates: Vec::new(),
        }
    }

    /// Adds all directories below, without the names that are ignored by default.
    pub fn include_below(&mut self) {
        self.recursive = true;
        self.ignore = IgnoreRules::default();
    }

    /// Returns the path of the directory for the `.npy` files.
    #[must_use]
    pub fn output_path(&self) -> &Path {
        self.output.as_ref().unwrap_or(&self.path)
    }

    /// Returns the directories that npyd itself writes to. Files in them are never drops, even if
    /// they are inside the drop directory.
    pub fn managed_dirs(&self) -> impl Iterator<Item = &Path> {
        [&self.output, &self.archive, &self.rejects].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Returns whether a path below the drop directory is in a directory that npyd itself writes
    /// to.
    #[must_use]
    pub fn is_managed(&self, rel: &Path) -> bool {
        let path = self.path.join(rel);
        self.managed_dirs().any(|dir| path.starts_with(dir) && dir != self.path)
    }

    /// Returns whether a directory may have the drops of another drop directory, or archived or
    /// rejected files.
    #[must_use]
    pub fn may_have_sources(&self, dir: &Path) -> bool {
        self.source_dirs.iter().any(|it| {
            it.path != self.path
                && if it.has_below { dir.starts_with(&it.path) } else { dir == it.path }
        })
    }

    /// Returns the template that describes a file of this name, if one does.
    #[must_use]
    pub fn template_of(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.describes(name))
    }

    /// Returns the directory's path if other users may drop files into it.
    #[must_use]
    pub fn untrusted_root(&self) -> Option<&Path> {
        self.is_untrusted.then_some(self.path.as_path())
    }

    /// Returns whether a source leaves only after a proof that no process writes to it.
    #[must_use]
    pub fn needs_proof(&self) -> bool {
        self.source != Disposition::Keep && !self.remove_unproven
    }

    /// Returns whether copies may fill the array through a mapping.
    #[must_use]
    pub fn may_map(&self) -> bool {
        self.mapped == Mapped::Auto
    }

    /// Returns what is wrong with the settings that depend on each other.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        match (self.source, &self.archive) {
            (Disposition::Archive, None) => {
                found.push("source = \"archive\" needs archive = \"DIR\"".into());
            }
            (Disposition::Keep | Disposition::Remove, Some(_)) => {
                found.push(
                    "archive is set, but source is not \"archive\": set source = \"archive\", or \
                     remove archive"
                        .into(),
                );
            }
            _ => {}
        }
        if let Some(dir) =
            [&self.archive, &self.rejects].into_iter().flatten().find(|dir| **dir == self.path)
        {
            found.push(format!(
                "`{}` is the drop directory itself: choose another for archive and rejects",
                dir.display()
            ));
        }
        found
    }

    /// Makes all paths absolute: relative ones start at `base`.
    pub(crate) fn resolve(&mut self, base: &Path) {
        self.path = resolve_path(base, &self.path);
        for dir in [&mut self.output, &mut self.archive, &mut self.rejects].into_iter().flatten() {
            *dir = resolve_path(base, dir);
        }
        self.set_paths(self.path.clone(), self.dirs());
    }

    /// Returns output, archive and rejects.
    pub(crate) fn dirs(&self) -> [Option<PathBuf>; 3] {
        [self.output.clone(), self.archive.clone(), self.rejects.clone()]
    }

    /// Replaces the path, and those of output, archive and rejects.
    pub(crate) fn set_paths(&mut self, path: PathBuf, dirs: [Option<PathBuf>; 3]) {
        self.path = path;
        [self.output, self.archive, self.rejects] = dirs;
        if self.output.as_deref() == Some(self.path.as_path()) {
            self.output = None; // both mean: beside the data
        }
    }
}

/// A directory with files that may be sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDir {
    /// Its path.
    pub path: PathBuf,
    /// Whether the directories below have such files, too.
    pub has_below: bool,
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

fn default_undescribed_after() -> Duration {
    Duration::from_mins(10)
}
