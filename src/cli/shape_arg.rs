//! Shapes on the command line.

use std::str::FromStr;

/// A shape on the command line: `100,512` or `(100, 512)`.
#[derive(Debug, Clone)]
pub(crate) struct ShapeArg(pub(crate) Vec<i64>);

impl FromStr for ShapeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.trim().trim_matches(['(', ')', '[', ']']).trim().trim_end_matches(',');
        if inner.is_empty() {
            return Ok(ShapeArg(Vec::new()));
        }
        inner
            .split(',')
            .map(|dim| {
                dim.trim().parse().map_err(|_| {
                    format!("`{dim}` is not a whole number: write such as 100,512 or -1,512")
                })
            })
            .collect::<Result<_, _>>()
            .map(ShapeArg)
    }
}
