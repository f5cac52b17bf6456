//! Shapes and layouts: the sizes that follow from dtype, order and shape.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::{Dtype, Header};

/// Maximum number of axes (`NPY_MAXDIMS` of NumPy 2).
pub(crate) const AXES_MAX: usize = 64;

/// Which axis varies slowest in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The first axis.
    #[default]
    C,
    /// The last axis.
    F,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::C => "C",
            Order::F => "F",
        })
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "C" => Ok(Order::C),
            "F" => Ok(Order::F),
            _ => Err(format!("`{text}` is not an order: write \"C\" or \"F\"")),
        }
    }
}

/// A declared shape. The length of the growth axis may be open. The growth axis is the first in C
/// order and the last in F order, or any other that a sidecar's format defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    dims: Vec<u64>,
    /// Whether the growth axis is open; its entry in `dims` is then 0.
    open: bool,
    growth: usize,
}

impl Shape {
    /// Creates a shape from the number of items along each axis; -1 leaves the growth axis open.
    ///
    /// # Errors
    /// A number is negative, or there are too many axes.
    pub fn new(dims: &[i64], order: Order) -> Result<Self, LayoutError> {
        if dims.len() > AXES_MAX {
            return error(format!("a shape may have {AXES_MAX} axes, not {}", dims.len()));
        }
        let growth = match order {
            Order::C => 0,
            Order::F => dims.len().saturating_sub(1),
        };
        let mut open = false;
        let mut lengths = Vec::with_capacity(dims.len());
        for (axis, &dim) in dims.iter().enumerate() {
            open |= dim == -1;
            match u64::try_from(dim) {
                Ok(length) => lengths.push(length),
                Err(_) if dim == -1 && axis == growth => lengths.push(0),
                Err(_) if dim == -1 => {
                    let place = if order == Order::C { "first" } else { "last" };
                    return error(format!(
                        "axis {axis} can't be -1: only the growth axis can, which is the {place} in {order} order"
                    ));
                }
                Err(_) => {
                    return error(format!("axis {axis} can't have {dim} items: write 0 or more"));
                }
            }
        }
        Ok(Shape { dims: lengths, open, growth })
    }

    /// Creates a shape whose axis `open` is the growth axis and is open. Its entry in `dims` is
    /// ignored.
    fn open_on(dims: &[i64], open: usize) -> Result<Self, LayoutError> {
        let mut known = dims.to_vec();
        match known.get_mut(open) {
            Some(dim) => *dim = 0,
            None => return error(format!("there is no axis {open} in {dims:?}")),
        }
        Ok(Shape { growth: open, open: true, ..Shape::new(&known, Order::C)? })
    }

    /// Returns whether the length of the growth axis is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Returns the number of items along each axis, -1 for the open axis.
    #[must_use]
    pub fn dims(&self) -> Vec<i64> {
        let length = |(axis, &dim): (usize, &u64)| {
            if self.open && axis == self.growth {
                -1
            } else {
                i64::try_from(dim).unwrap_or(i64::MAX)
            }
        };
        self.dims.iter().enumerate().map(length).collect()
    }
}

/// Writes the shape as a Python tuple.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_tuple(f, &self.dims())
    }
}

pub(crate) fn write_tuple<T: fmt::Display>(f: &mut dyn fmt::Write, dims: &[T]) -> fmt::Result {
    f.write_str("(")?;
    for (axis, dim) in dims.iter().enumerate() {
        write!(f, "{}{dim}", if axis == 0 { "" } else { ", " })?;
    }
    f.write_str(if dims.len() == 1 { ",)" } else { ")" })
}

/// The layout of raw data: dtype, order and declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The type of the items.
    pub dtype: Dtype,
    /// Which axis varies slowest.
    pub order: Order,
    /// The number of items along each axis.
    pub shape: Shape,
}

/// Why an array of this layout can't exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct LayoutError(String);

fn error<T>(what: String) -> Result<T, LayoutError> {
    Err(LayoutError(what))
}

impl Layout {
    /// Creates a layout.
    ///
    /// # Errors
    /// The shape is not valid, or the array would be larger than a file can be.
    pub fn new(dtype: Dtype, shape: &[i64], order: Order) -> Result<Self, LayoutError> {
        let layout = Layout { shape: Shape::new(shape, order)?, dtype, order };
        check_size(&layout.dtype, layout.fixed_dims())?;
        Ok(layout)
    }

    /// Creates a layout in C order whose axis `open` is open. If it is not the first axis, its
    /// length determines the position of all items.
    ///
    /// # Errors
    /// As [`Layout::new`]; or there is no such axis.
    pub fn open_on(dtype: Dtype, dims: &[i64], open: usize) -> Result<Self, LayoutError> {
        let layout = Layout { shape: Shape::open_on(dims, open)?, dtype, order: Order::C };
        check_size(&layout.dtype, layout.fixed_dims())?;
        Ok(layout)
    }

    /// Returns the lengths of all axes except the open one.
    fn fixed_dims(&self) -> impl Iterator<Item = u64> + '_ {
        let open = self.shape.open.then_some(self.shape.growth);
        let dims = self.shape.dims.iter().enumerate();
        dims.filter(move |(axis, _)| Some(*axis) != open).map(|(_, dim)| *dim)
    }

    /// Returns the size of a record in bytes. A record is one step along the growth axis, or the
    /// whole array if it has no axes.
    #[must_use]
    pub fn record_len(&self) -> u64 {
        let dims = self.shape.dims.iter().enumerate();
        let others = dims.filter(|(axis, _)| *axis != self.shape.growth).map(|(_, dim)| *dim);
        len_of(&self.dtype, others)
    }

    /// Returns the size of the array's data in bytes; `None` if the shape is open.
    #[must_use]
    pub fn data_len(&self) -> Option<u64> {
        (!self.shape.open).then(|| len_of(&self.dtype, self.shape.dims.iter().copied()))
    }

    /// Returns how many complete records `bytes` hold, and how many bytes remain. The number is 0
    /// if a record has no bytes.
    #[must_use]
    pub fn records_in(&self, bytes: u64) -> (u64, u64) {
        match self.record_len() {
            0 => (0, bytes),
            record => (bytes / record, bytes % record),
        }
    }

    /// Returns whether each record is contiguous, so that a truncated file still holds complete
    /// records.
    #[must_use]
    pub fn has_whole_records(&self) -> bool {
        let slower = self.shape.dims.get(..self.shape.growth).unwrap_or_default();
        self.order == Order::F || slower.iter().all(|dim| *dim == 1)
    }

    /// Returns this layout with its slowest axis of more than one item as the growth axis. The
    /// axes before it do not change where the items are.
    #[must_use]
    pub fn by_rows(&self) -> Layout {
        let mut layout = self.clone();
        let is_long = |dim: &u64| *dim > 1;
        let axis = match self.order {
            Order::C => self.shape.dims.iter().position(is_long),
            Order::F => self.shape.dims.iter().rposition(is_long),
        };
        if let Some(axis) = axis.filter(|_| !self.shape.open && self.has_whole_records()) {
            layout.shape.growth = axis;
        }
        layout
    }

    /// Returns the length of the growth axis; `None` if it is open, or if there are no axes.
    #[must_use]
    pub fn records(&self) -> Option<u64> {
        if self.shape.open { None } else { self.shape.dims.get(self.shape.growth).copied() }
    }

    /// Returns the header of an array with this number of records.
    pub fn with_records(&self, records: u64) -> Result<Header, LayoutError> {
        let mut dims = self.shape.dims.clone();
        if let Some(growth) = dims.get_mut(self.shape.growth) {
            *growth = records;
        }
        Header::new(self.dtype.clone(), self.order, dims)
    }

    /// Returns the array's header; `None` if the shape is open.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        if self.shape.open {
            return None;
        }
        Header::new(self.dtype.clone(), self.order, self.shape.dims.clone()).ok()
    }
}

/// Returns the size of an array in bytes. The size must have been checked.
pub(crate) fn len_of(dtype: &Dtype, dims: impl Iterator<Item = u64>) -> u64 {
    dims.fold(dtype.itemsize(), u64::saturating_mul)
}

/// Checks that the array's size fits in 63 bits. Lengths of 0 are skipped, because NumPy limits the
/// product of all other lengths even then.
pub(crate) fn check_size(
    dtype: &Dtype,
    dims: impl Iterator<Item = u64>,
) -> Result<(), LayoutError> {
    let product = dims
        .filter(|dim| *dim > 0)
        .try_fold(dtype.itemsize().max(1), u64::checked_mul)
        .and_then(|bytes| i64::try_from(bytes).ok());
    match product {
        Some(_) => Ok(()),
        None => error("the array would have more than 2^63 bytes: correct its shape".to_owned()),
    }
}
