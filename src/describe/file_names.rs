//! Names of sidecars and data files: derives each from the other.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath, FILES_MAX};

/// Returns the sidecars with this extension that may describe a data file: the extension replaces
/// the data file's own. The extension is also appended to a name with a dot but without an
/// extension, such as `scene_0.5m`.
pub(crate) fn sidecars(data: &Path, extension: &str) -> Vec<PathBuf> {
    let name = data.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let mut paths = vec![data.with_extension(extension)];
    if data.extension().is_some() && crate::model::without_extension(name) == name {
        paths.insert(0, data.with_file_name(format!("{name}.{extension}")));
    }
    paths
}

/// Returns a sidecar's name without its suffix, which may be in upper or lower case.
pub(crate) fn without_suffix<'a>(sidecar: &'a str, suffix: &str) -> Option<&'a str> {
    let stem = sidecar.get(..sidecar.len().checked_sub(suffix.len())?)?;
    let has_it = sidecar.get(stem.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix));
    (has_it && !stem.is_empty()).then_some(stem)
}

/// Returns the sidecar's name with each of these suffixes in place of its own.
pub(crate) fn beside(sidecar: &str, suffix: &str, data: &[&str]) -> Vec<String> {
    let stem = without_suffix(sidecar, suffix);
    stem.map(|stem| data.iter().map(|suffix| format!("{stem}{suffix}")).collect())
        .unwrap_or_default()
}

/// Returns the names that a copy from another file system may give to the file: stem and suffix
/// each unchanged, in lower case, or in upper case.
pub(crate) fn case_variants(name: &str) -> Vec<String> {
    let (stem, suffix) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    let forms = |text: &str| [text.to_owned(), text.to_lowercase(), text.to_uppercase()];
    let mut variants = Vec::new();
    for stem in forms(stem) {
        for suffix in forms(suffix) {
            let variant = format!("{stem}{suffix}");
            if variant != name && !variants.contains(&variant) {
                variants.push(variant);
            }
        }
    }
    variants
}

/// Returns the data files that `x.hdr` may describe. It may be named `x.hdr` or `x.EXT.hdr`, and
/// the suffix of the data may be in lower or upper case.
pub(crate) fn data_of_hdr(sidecar: &str, data: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for name in beside(sidecar, ".hdr", data) {
        let stem_len = without_suffix(sidecar, ".hdr").map_or(0, str::len);
        let upper = format!("{}{}", &name[..stem_len], name[stem_len..].to_ascii_uppercase());
        let is_new = upper != name;
        names.push(name);
        if is_new {
            names.push(upper);
        }
    }
    names
}

/// Returns the `.hdr` files that may describe a data file.
pub(crate) fn hdrs_of(data: &Path) -> Vec<PathBuf> {
    let Some(name) = data.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let appended = [format!("{name}.hdr"), format!("{name}.HDR")].map(|it| data.with_file_name(it));
    let mut paths = Vec::from(appended);
    if data.extension().is_some() {
        paths.extend([data.with_extension("hdr"), data.with_extension("HDR")]);
    }
    paths
}

/// Returns the files of a pattern such as `x%03d.raw 1 60 1`: a name with one `%d` or `%0Nd`, the
/// first number, the last number, and the step.
pub(crate) fn pattern(text: &str) -> Result<Vec<DataPath>, DescribeError> {
    let wrong = || format!("{text:?} is not a pattern: write such as x%03d.raw 1 60 1");
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let mut number = || words.pop().and_then(|word| word.parse::<i64>().ok()).ok_or_else(wrong);
    let (step, last, first) = (number()?, number()?, number()?);
    let name = words.join(" ");
    let (before, rest) = name.split_once('%').ok_or_else(wrong)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (width, after) = rest.split_at(digits);
    let after = after.strip_prefix('d').filter(|after| !after.contains('%')).ok_or_else(wrong)?;
    let width: usize = match width {
        "" => 0,
        width => width
            .strip_prefix('0')
            .and_then(|width| width.parse().ok())
            .filter(|width| *width <= 20)
            .ok_or_else(wrong)?,
    };
    if step < 1 || first < 0 || last < first {
        return Err(format!("{text:?} must count upwards, in steps of 1 or more").into());
    }
    let count = ((last - first) / step).saturating_add(1);
    if usize::try_from(count).is_ok_and(|count| count > FILES_MAX) {
        return Err(format!("{count} files are too many: name at most {FILES_MAX}").into());
    }
    let name = |at: i64| DataPath::beside(&format!("{before}{:0width$}{after}", first + at * step));
    (0..count).map(name).collect()
}

/// Returns data that consist of one slab in each file. `sizes` are those of the array, the fastest
/// axis first; `dim` is the number of dimensions of a slab.
pub(crate) fn slabs(
    parts: Vec<DataPath>,
    sizes: &[i64],
    dim: usize,
) -> Result<Data, DescribeError> {
    check_slabs(parts.len(), sizes, dim)?;
    let mut seen = HashSet::new();
    match parts.iter().find(|part| !seen.insert(*part)) {
        Some(twice) => Err(format!("it names `{twice}` twice: name each file once").into()),
        None => Ok(Data::Parts(parts)),
    }
}

/// Checks that the concatenation of this many files is the whole array. `sizes` are those of the
/// array, the fastest axis first; each file holds `dim` of its dimensions.
fn check_slabs(files: usize, sizes: &[i64], dim: usize) -> Result<(), DescribeError> {
    let count = i64::try_from(files).unwrap_or(i64::MAX);
    let wanted = match sizes.get(dim..) {
        Some(rest) if !rest.is_empty() && dim > 0 => {
            rest.iter().try_fold(1_i64, |product, size| product.checked_mul(*size))
        }
        // Slabs of equal length along the slowest axis.
        Some(_) if files > 0 && sizes.last().is_some_and(|last| last % count == 0) => Some(count),
        _ => None,
    };
    if files > FILES_MAX {
        return Err(format!("{files} files are too many: name at most {FILES_MAX}").into());
    }
    match wanted {
        Some(wanted) if wanted == count => Ok(()),
        Some(wanted) => Err(format!("it names {files} files, but its sizes need {wanted}").into()),
        None => Err(format!("{files} files of {dim} dimensions do not match its sizes").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_other_letter_case() {
        assert_eq!(case_variants("a.eeg"), ["a.EEG", "A.eeg", "A.EEG"]);
        assert_eq!(case_variants("SUB2.eeg"), ["SUB2.EEG", "sub2.eeg", "sub2.EEG"]);
        assert_eq!(case_variants("Ab.x.Raw").len(), 8);
        assert_eq!(case_variants("scan"), ["SCAN"]);
        assert_eq!(case_variants("1.2"), [""; 0]);
    }

    #[test]
    fn patterns_become_file_names() {
        let names = |text: &str| -> Result<Vec<String>, DescribeError> {
            Ok(pattern(text)?.iter().map(ToString::to_string).collect())
        };
        assert_eq!(names("x%03d.raw 9 11 2").unwrap(), ["x009.raw", "x011.raw"]);
        assert_eq!(names("a b%d 0 1 1").unwrap(), ["a b0", "a b1"]);
        for wrong in [
            "x%s 1 2 1",
            "x%3d 1 2 1",
            "x%d%d 1 2 1",
            "x 1 2 1",
            "x%d 1 2",
            "x%d 2 1 1",
            "x%d 1 2 0",
            "x%d 0 9999999999 1",
            "x%d 0 9223372036854775807 1",
            "x%0999999d 1 2 1",
            "../x%d 1 2 1",
            "",
        ] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slabs_must_make_up_the_whole_array() {
        for (files, sizes, dim, right) in [
            (2, &[4, 3, 2][..], 2, true),
            (6, &[4, 3, 2], 1, true),
            (2, &[4, 3, 2], 3, true),
            (3, &[4, 3, 2], 3, false),
            (3, &[4, 3, 2], 2, false),
            (24, &[4, 3, 2], 0, false),
            (0, &[4, 3, 2], 2, false),
            (1, &[], 0, false),
            (2, &[4], 9, false),
        ] {
            assert_eq!(check_slabs(files, sizes, dim).is_ok(), right, "{files} {sizes:?} {dim}");
        }
    }

    #[test]
    fn headers_and_data_find_each_other() {
        for (data, hdr) in
            [("x.img", "x.hdr"), ("x.img", "x.img.hdr"), ("x", "x.hdr"), ("x.IMG", "x.hdr")]
        {
            assert!(data_of_hdr(hdr, &["", ".img"]).contains(&data.to_owned()), "{hdr}: {data}");
            assert!(hdrs_of(Path::new(data)).contains(&PathBuf::from(hdr)), "{data}: {hdr}");
        }
        assert!(data_of_hdr(".hdr", &["", ".img"]).is_empty());
    }

    #[test]
    fn sidecars_of_names_with_a_decimal_point_are_found() {
        let beside = |data: &str| -> Vec<String> {
            let paths = sidecars(Path::new(data), "mhd").into_iter();
            paths.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(beside("a/scene_0.5m"), ["a/scene_0.5m.mhd", "a/scene_0.mhd"]);
        assert_eq!(beside("frame.001"), ["frame.001.mhd", "frame.mhd"]);
        assert_eq!(beside("scene_0.5m.raw"), ["scene_0.5m.mhd"]);
        assert_eq!(beside("scan"), ["scan.mhd"]);
        assert!(data_of_hdr("scene_0.5m.hdr", &["", ".img"]).contains(&"scene_0.5m".to_owned()));
        assert!(hdrs_of(Path::new("scene_0.5m")).contains(&PathBuf::from("scene_0.5m.hdr")));
    }
}
