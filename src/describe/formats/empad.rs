//! EMPAD, the electron microscope pixel array detector: `scan.xml` names a raw file with frames of
//! 130 rows, the last two of which are a footer of the detector.
//!
//! A structured dtype covers image and footer, so that npyd does not have to copy the data. The
//! reference reader is RosettaSciIO (`rsciio/empad`). Detector: Tate et al., Microscopy and
//! Microanalysis 22 (2016) 237.

use roxmltree::{Document, Node};

use crate::describe::DescribeError;
use crate::describe::data_path::{Data, DataPath};
use crate::describe::described::{Axis, Described};
use crate::describe::file_names;
use crate::describe::near_miss::Mark;
use crate::describe::sidecar::{Format, ReadResult};
use crate::describe::text::fields::text_of;
use crate::describe::text::xml;
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

pub(crate) static FORMAT: Format = Format {
    name: "EMPAD",
    files: "x.xml with a raw_file, beside the file it names",
    reads: "scans and series; each frame with its footer, as the fields data and footer",
    proof: "the exact size",
    is_named: |name| file_names::without_suffix(name, ".xml").is_some(),
    data_of: |sidecar| file_names::beside(sidecar, ".xml", &[".raw"]),
    sidecars_of: |data| file_names::sidecars(data, "xml"),
    size_keys: "pix_x, pix_y, series_count",
    mark: Mark {
        keys: &["<scan_parameters", "<pix_x", "<pix_y"],
        missing: "it has no element `raw_file` with the attribute `filename`: add it",
    },
    read,
};

/// The type of a frame: 128 rows of 128 pixels, and a footer of two rows.
const FRAME: &str = "[('data', '<f4', (128, 128)), ('footer', '<f4', (2, 128))]";

fn read(_: &FileName, text: &[u8]) -> ReadResult {
    let text = text_of(text);
    let Some(document) = xml::parse(&text, "raw_file")? else { return Ok(None) };
    let root = document.root_element();
    let Some(file) = child(root, "raw_file").and_then(|node| node.attribute("filename")) else {
        return Ok(None);
    };
    // The instrument writes the path that the file had on its own disk.
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let dtype = Dtype::from_text(FRAME)?;
    let mut warnings = Vec::new();
    let (layout, axes) = if let Some((shape, axes)) = scan(&document, name)? {
        (Layout::new(dtype, &shape, Order::C), axes)
    } else {
        warnings.push("it does not give the number of frames: npyd takes all of the file".into());
        (Layout::open_on(dtype, &[-1], 0), vec![Axis::named("frame")])
    };
    let layout = layout?;
    Ok(Some(vec![Described {
        axes,
        fields: xml::fields(root),
        warnings,
        ..Described::new(Data::FirstOf(vec![DataPath::beside(name)?]), layout)
    }]))
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The number of frames along each axis, and the axes.
type Frames = (Vec<i64>, Vec<Axis>);

/// Returns the number of frames along each axis. The sidecar declares the length of a series or the
/// pixels of a scan, or the raw file's name contains them, such as `scan_x64_y32.raw`. Returns
/// `None` if neither does, as for an acquisition without a scan.
fn scan(xml: &Document<'_>, name: &str) -> Result<Option<Frames>, DescribeError> {
    let root = xml.root_element();
    let number = |node: Node<'_, '_>| {
        let text = node.text().unwrap_or_default().trim();
        text.parse::<i64>().ok().filter(|number| *number > 0).ok_or_else(|| {
            let at = xml.text_pos_at(node.range().start);
            format!(
                "line {}, `{}`: the value must be a whole number, 1 or more",
                at.row,
                node.tag_name().name()
            )
        })
    };
    let series = root
        .children()
        .filter(|node| node.has_tag_name("scan_parameters"))
        .find_map(|node| child(node, "series_count"));
    if let Some(series) = series {
        return Ok(Some((vec![number(series)?], vec![Axis::named("series")])));
    }
    let axes = vec![Axis::named("scan_y"), Axis::named("scan_x")];
    if let (Some(x), Some(y)) = (child(root, "pix_x"), child(root, "pix_y")) {
        return Ok(Some((vec![number(y)?, number(x)?], axes)));
    }
    let of_name = |axis: char| {
        let part = name.split(['_', '.']).find_map(|part| part.strip_prefix(axis))?;
        part.parse::<i64>().ok().filter(|number| *number > 0)
    };
    Ok(match (of_name('y'), of_name('x')) {
        (Some(y), Some(x)) if name.starts_with("scan_") => Some((vec![y, x], axes)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> ReadResult {
        read(&FileName::try_from("scan.xml".to_owned()).unwrap(), text.as_bytes())
    }

    #[test]
    fn scans_and_series() {
        for (body, shape) in [
            ("<pix_x>4</pix_x><pix_y>3</pix_y>", vec![3, 4]),
            (
                "<scan_parameters mode='acquire'><series_count>5</series_count></scan_parameters>",
                vec![5],
            ),
            ("", vec![32, 64]),
        ] {
            let text =
                format!(r#"<root><raw_file filename="C:\data\scan_x64_y32.raw"/>{body}</root>"#);
            let one = described(&text).unwrap().unwrap().remove(0);
            assert_eq!(one.layout.shape.dims(), shape);
            assert_eq!(one.layout.dtype.itemsize(), 130 * 128 * 4);
            let Data::FirstOf(data) = one.data else { panic!("one file") };
            assert_eq!(data[0].to_string(), "scan_x64_y32.raw");
        }
    }

    #[test]
    fn an_acquisition_without_a_scan() {
        let text = "<root>\n<raw_file filename='a.raw'/></root>";
        let one = described(text).unwrap().unwrap().remove(0);
        assert_eq!(one.layout.shape.dims(), [-1]);
        assert!(one.warnings[0].contains("number of frames"), "{:?}", one.warnings);
    }

    #[test]
    fn incomplete_sidecars_are_rejected() {
        for (text, words) in [
            (
                "<root>\n<raw_file filename='..'/><pix_x>4</pix_x><pix_y>3</pix_y></root>",
                "outside the sidecar",
            ),
            (
                "<root>\n<raw_file filename='a.raw'/>\n<pix_x>x</pix_x><pix_y>3</pix_y></root>",
                "line 3",
            ),
            ("<root>\n<raw_file filename='a.raw'/>\n<root>", "line"),
        ] {
            let error = described(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(described("<parameters/>").unwrap().is_none());
        assert!(described("no xml").unwrap().is_none());
    }
}
