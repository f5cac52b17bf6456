//! What `npyd take` takes of data that do not fit their description: the complete rows. A row is
//! one step along the slowest axis.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::describe::DescribeError;
use crate::describe::dump::Dump;
use crate::npy::{Header, Layout, Order};

/// Which rows to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// All complete rows that were written, whatever number is declared or counted.
    #[default]
    All,
    /// The rows that every data file has, and every declared or counted number includes.
    Common,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rows::All => "all",
            Rows::Common => "common",
        })
    }
}

impl FromStr for Rows {
    type Err = DescribeError;

    fn from_str(text: &str) -> Result<Self, DescribeError> {
        match text {
            "all" => Ok(Rows::All),
            "common" => Ok(Rows::Common),
            _ => Err(format!("`{text}` is not a choice of rows: write all or common").into()),
        }
    }
}

/// The rows that are taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The header of their array.
    pub header: Header,
    /// How many rows are taken, and what remains.
    pub remark: String,
}

impl Dump {
    /// Returns the rows to take of data files that were written up to `ends`, one for each file.
    ///
    /// # Errors
    /// No complete row was written, or where the rows are does not follow from the description.
    pub fn taken(&self, ends: &[u64], rows: Rows) -> Result<Taken, DescribeError> {
        if self.facts.at_the_end {
            return Err("its data are at the end of the file, so where they begin depends on how \
                        many there are: write a manifest with `offset`"
                .into());
        }
        let before = self.data_offset.saturating_add(self.trailing);
        let lens: Vec<u64> = ends.iter().map(|end| end.saturating_sub(before)).collect();
        match lens[..] {
            [len] => self.taken_of_one(len, rows),
            _ => self.taken_of_several(&lens, rows),
        }
    }

    fn taken_of_one(&self, len: u64, rows: Rows) -> Result<Taken, DescribeError> {
        let layout = match self.layout.records_in(len) {
            (0, _) => self.layout.by_rows(),
            _ => self.layout.clone(),
        };
        let (complete, partial) = layout.records_in(len);
        let declared = layout.records();
        let counted = self.facts.counted;
        let limits = [declared, counted].into_iter().flatten();
        let taken = match rows {
            Rows::All => complete,
            Rows::Common => limits.fold(complete, u64::min),
        };
        let taken = if layout.shape.dims().is_empty() { taken.min(1) } else { taken };
        let is_as_described =
            partial == 0 && taken == complete && declared.unwrap_or(taken) == taken;
        if !layout.has_whole_records() && !is_as_described {
            return Err("the values of one channel follow each other, so where those of the next \
                        begin depends on how many there are: write a manifest for what is there"
                .into());
        }
        let header = layout.with_records(taken)?;
        let of = match (declared, counted) {
            (Some(declared), _) if declared != taken => format!(" of {declared} declared"),
            (_, Some(counted)) if counted != complete => {
                format!(" ({complete} are there, {counted} are counted)")
            }
            _ => String::new(),
        };
        let behind = match len.saturating_sub(header.data_len()) {
            0 => String::new(),
            bytes => format!(", and {} behind them", count(bytes, "byte")),
        };
        let remark = format!("{}{of}{behind}", count(taken, "row"));
        self.checked(taken, header, remark)
    }

    /// Takes equal numbers of rows of several files.
    fn taken_of_several(&self, lens: &[u64], rows: Rows) -> Result<Taken, DescribeError> {
        let mut split = Split::of(&self.layout, lens.len() as u64)?;
        let complete: Vec<u64> = lens.iter().map(|len| len / split.row_len.max(1)).collect();
        let least = complete.iter().copied().min().unwrap_or(0);
        let most = complete.iter().copied().max().unwrap_or(0);
        if rows == Rows::All && least != most {
            return Err(format!(
                "its {} files have {least} to {most} rows, and an array needs equally many of each: \
                 `--rows common` takes the first {least}",
                lens.len()
            ).into());
        }
        let taken = if rows == Rows::Common { least.min(split.rows) } else { least };
        let range =
            if least == most { String::new() } else { format!("which have {least} to {most}, ") };
        let remark = format!(
            "{} of each of its {} files, {range}of {} declared",
            count(taken, "row"),
            lens.len(),
            split.rows
        );
        let header = split.header(&self.layout, taken)?;
        self.checked(taken, header, remark)
    }

    fn checked(
        &self,
        taken: u64,
        header: Header,
        mut remark: String,
    ) -> Result<Taken, DescribeError> {
        if taken == 0 {
            return Err("no complete row was written yet".into());
        }
        header.check_loadable()?;
        if self.digest.is_some() {
            remark += "; its digest is not checked";
        }
        Ok(Taken { header, remark })
    }
}

fn count(number: u64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// How several files share an array: each has some rows along the slowest axis, or one step along
/// that axis, such as a channel, with rows along the next axis.
struct Split {
    /// The lengths of the axes, the slowest first.
    dims: Vec<i64>,
    /// The axis along which the files have rows.
    axis: usize,
    /// The declared number of rows in each file.
    rows: u64,
    /// The length of a row in bytes.
    row_len: u64,
    files: u64,
}

impl Split {
    fn of(layout: &Layout, files: u64) -> Result<Self, DescribeError> {
        let unclear = || "how its files share the array does not follow from its shape".to_owned();
        let share = layout.data_len().ok_or_else(unclear)? / files;
        let mut dims = layout.shape.dims();
        if layout.order == Order::F {
            dims.reverse();
        }
        let length = |axis: usize| dims.get(axis).and_then(|dim| u64::try_from(*dim).ok());
        let (axis, rows) = match (length(0), length(1)) {
            (Some(steps), Some(rows)) if steps == files => (1, rows),
            (Some(steps), _) if steps % files == 0 => (0, steps / files),
            _ => return Err(unclear().into()),
        };
        let row_len = share.checked_div(rows).filter(|len| *len > 0).ok_or_else(unclear)?;
        Ok(Split { dims, axis, rows, row_len, files })
    }

    /// Returns the header of an array with this number of rows of each file.
    fn header(&mut self, layout: &Layout, rows: u64) -> Result<Header, DescribeError> {
        let steps = if self.axis == 0 { rows.saturating_mul(self.files) } else { rows };
        self.dims[self.axis] = i64::try_from(steps).unwrap_or(i64::MAX);
        if layout.order == Order::F {
            self.dims.reverse();
        }
        Layout::new(layout.dtype.clone(), &self.dims, layout.order)?
            .header()
            .ok_or_else(|| "its shape is open".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{Declared, DeclaredBy, Metadata};
    use crate::model::FileName;

    fn dump(keys: serde_json::Value) -> Dump {
        let declared: Declared = serde_json::from_value(keys).unwrap();
        let name = FileName::try_from("scan.raw".to_owned()).unwrap();
        declared.dump(DeclaredBy::Manifest, &name, Metadata::new()).unwrap()
    }

    #[track_caller]
    fn shape(dump: &Dump, ends: &[u64], rows: Rows) -> Vec<u64> {
        dump.taken(ends, rows).unwrap().header.shape().to_vec()
    }

    #[test]
    fn rows_of_one_file() {
        use Rows::{All, Common};
        for (order, declared, len, rows, taken) in [
            ("C", &[4, 3][..], 6, All, &[2, 3][..]),
            ("C", &[4, 3], 8, All, &[2, 3]),
            ("C", &[4, 3], 6, Common, &[2, 3]),
            ("C", &[4, 3], 17, All, &[5, 3]),
            ("C", &[4, 3], 17, Common, &[4, 3]),
            ("C", &[-1, 3], 8, All, &[2, 3]),
            ("C", &[-1], 8, Common, &[8]),
            ("F", &[3, 4], 8, All, &[3, 2]),
            ("F", &[3, -1], 8, All, &[3, 2]),
            // A single image: its lines are the rows.
            ("C", &[1, 4, 3], 8, All, &[1, 2, 3]),
            ("C", &[1, 4, 3], 25, All, &[2, 4, 3]),
            ("F", &[3, 4, 1], 8, All, &[3, 2, 1]),
            ("C", &[], 5, All, &[]),
        ] {
            let dump = dump(serde_json::json!({"dtype": "|u1", "shape": declared, "order": order}));
            assert_eq!(shape(&dump, &[len], rows), taken, "{declared:?} {len} {rows}");
        }
    }

    #[test]
    fn bytes_around_the_rows() {
        let keys = serde_json::json!({"dtype": "|u1", "shape": [4, 3], "offset": 5, "trailing": 2});
        let dump = dump(keys);
        let taken = dump.taken(&[14], Rows::All).unwrap();
        assert_eq!(taken.header.shape(), [2, 3]);
        assert_eq!(taken.remark, "2 rows of 4 declared, and 1 byte behind them");
        assert_eq!(
            dump.taken(&[9], Rows::All).unwrap_err().to_string(),
            "no complete row was written yet"
        );
        assert!(dump.taken(&[0], Rows::All).is_err());
    }

    #[test]
    fn what_another_file_counts() {
        let mut dump = dump(serde_json::json!({"dtype": "|u1", "shape": [-1, 3]}));
        dump.facts.counted = Some(2);
        let taken = |rows| dump.taken(&[9], rows).unwrap();
        assert_eq!(taken(Rows::All).header.shape(), [3, 3]);
        assert_eq!(taken(Rows::Common).header.shape(), [2, 3]);
        assert_eq!(
            taken(Rows::Common).remark,
            "2 rows (3 are there, 2 are counted), and 3 bytes behind them"
        );
    }

    /// Each channel's values follow each other, so a cut moves where the channels begin.
    #[test]
    fn channels_one_after_the_other() {
        let mut dump = dump(serde_json::json!({"dtype": "|u1", "shape": [2, 4]}));
        let dtype = dump.layout.dtype.clone();
        dump.layout = Layout::open_on(dtype, &[2, 0], 1).unwrap();
        assert_eq!(shape(&dump, &[8], Rows::All), [2, 4]);
        assert!(dump.taken(&[7], Rows::All).is_err());
        dump.facts.counted = Some(3);
        assert_eq!(shape(&dump, &[8], Rows::All), [2, 4]);
        assert!(dump.taken(&[8], Rows::Common).is_err());
    }

    #[test]
    fn rows_of_several_files() {
        let channels = dump(serde_json::json!({"dtype": "<u2", "shape": [2, 6, 2]}));
        let chunks = dump(serde_json::json!({"dtype": "<u2", "shape": [6, 2]}));
        let fortran = dump(serde_json::json!({"dtype": "<u2", "shape": [2, 6], "order": "F"}));
        assert_eq!(shape(&channels, &[24, 17], Rows::Common), [2, 4, 2]);
        assert_eq!(shape(&channels, &[24, 99], Rows::Common), [2, 6, 2]);
        assert_eq!(shape(&channels, &[17, 17], Rows::All), [2, 4, 2]);
        assert_eq!(shape(&chunks, &[12, 8], Rows::Common), [4, 2]);
        assert_eq!(shape(&fortran, &[12, 8], Rows::Common), [2, 4]);
        let refused = channels.taken(&[24, 17], Rows::All).unwrap_err().to_string();
        assert!(refused.contains("4 to 6 rows") && refused.contains("--rows common"), "{refused}");
        assert!(channels.taken(&[24, 3], Rows::Common).is_err());
        let odd = dump(serde_json::json!({"dtype": "<u2", "shape": [5, 2]}));
        assert!(odd.taken(&[10, 8], Rows::Common).is_err());
    }
}
