//! What is measured, and where.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Parser, ValueEnum};

use crate::filesystem::Kind;
use crate::is_root;

/// Measures npyd side by side with what people use instead.
#[derive(Parser)]
pub(crate) struct Options {
    /// Sizes of the dumps that the routes and their peers are measured with
    #[arg(long, value_delimiter = ',', default_value = "64KiB,1MiB,64MiB,1GiB,4GiB")]
    pub(crate) sizes: Vec<Size>,
    /// The largest dump that is copied, by npyd or by a peer; larger ones take other routes only
    #[arg(long, default_value = "1GiB")]
    pub(crate) copy_up_to: Size,
    /// The size of the dump in the part `memory`
    #[arg(long, default_value = "4GiB")]
    pub(crate) large: Size,
    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// The file systems; all of them where root runs this. Bursts, latency and scan are measured
    /// on the first
    #[arg(long, value_delimiter = ',')]
    file_systems: Vec<Kind>,
    /// Only these parts; `scale` is measured only where it is named here
    #[arg(long, visible_alias = "part", value_delimiter = ',')]
    only: Vec<Part>,
    /// Drops in a burst
    #[arg(long, default_value_t = 10_000)]
    pub(crate) burst: u32,
    /// Drops whose latency is measured
    #[arg(long, default_value_t = 500)]
    pub(crate) latencies: u64,
    /// Finished drops in the directory that is scanned
    #[arg(long, default_value_t = 100_000)]
    pub(crate) finished: u64,
    /// Files and directories at the end of the part `scale`, which begins with a thousandth of
    /// them; there are a hundredth as many drop directories, and ten times as many receipts
    #[arg(long, default_value_t = 100_000)]
    pub(crate) largest: u64,
    /// Seconds of rest that are watched in the part `scale`
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rest: u32,
    /// The file for the picture of the part `scale`; `scale.svg` in Cargo's target directory by
    /// default
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Where all files lie meanwhile, images of file systems among them
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Said by this program to itself
    #[arg(long, hide = true)]
    pub(crate) own_mounts: bool,
}

/// Something to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The route `in-place`, of every size, and its peers
    InPlace,
    /// The route `reflink`, the same
    Reflink,
    /// The route `insert-range`, the same
    InsertRange,
    /// The route `copy`, the same
    Copy,
    /// The daemon's peak memory
    Memory,
    /// Many small drops at once
    Bursts,
    /// From the producer's last close to the published file
    Latency,
    /// A start over finished drops, and rest after it
    Scan,
    /// Cost against number of files, directories, drop directories and receipts: twenty minutes
    Scale,
}

impl Options {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Whether the part `scale` is named.
    pub(crate) fn wants_scale(&self) -> bool {
        self.only.contains(&Part::Scale)
    }

    /// Whether any other part is wanted: those compare npyd with scripts.
    pub(crate) fn wants_peers(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| *part != Part::Scale)
    }

    /// Whether a route of this name, as receipts have it, is to be measured.
    pub(crate) fn wants_route(&self, route: &str) -> bool {
        Part::from_str(route, false).is_ok_and(|part| self.wants(part))
    }

    pub(crate) fn wants_routes(&self) -> bool {
        [Part::InPlace, Part::Reflink, Part::InsertRange, Part::Copy]
            .into_iter()
            .any(|part| self.wants(part))
    }

    pub(crate) fn file_systems(&self) -> Vec<Kind> {
        match &self.file_systems[..] {
            [] if is_root() => Kind::value_variants().to_vec(),
            [] => {
                println!("Left out: file systems other than the working one, which need root.\n");
                vec![Kind::Work]
            }
            chosen => chosen.to_vec(),
        }
    }

    pub(crate) fn picture(&self) -> PathBuf {
        let default = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("scale.svg");
        self.picture.clone().unwrap_or_else(default)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }
}

/// A number of bytes, written like `64KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |(unit, shift): (&str, u32)| {
            let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(1 << shift)
        };
        UNITS
            .into_iter()
            .find_map(parse)
            .filter(|bytes| *bytes > 0 && bytes.is_multiple_of(crate::dump::FRAME))
            .map(Size)
            .ok_or_else(|| "give a multiple of 64KiB, such as 64KiB, 1MiB or 1GiB".to_owned())
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits =
            |(_, shift): &(&str, u32)| self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift);
        match UNITS.into_iter().find(fits) {
            Some((unit, shift)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}
