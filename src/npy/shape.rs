//! Shapes, and what follows from a shape and a dtype.

use std::fmt;
use std::str::FromStr;

use crate::npy::{Dtype, Header};

/// The most axes NumPy allows (`NPY_MAXDIMS` of NumPy 2).
pub(crate) const AXES_MAX: usize = 64;

/// Which axis varies slowest in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The first.
    #[default]
    C,
    /// The last.
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

/// A declared shape. One axis may be open: its growth axis, the first in C order and the last in F
/// order, or another where a format of files says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    dims: Vec<u64>,
    /// The growth axis is open; its place in `dims` holds 0.
    open: bool,
    growth: usize,
}

impl Shape {
    /// A shape of these items along each axis; -1 leaves the growth axis open.
    pub fn new(dims: &[i64], order: Order) -> Result<Self, LayoutError> {
        if dims.len() > AXES_MAX {
            return error(format!("a shape has {AXES_MAX} axes at most, not {}", dims.len()));
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
                        "-1 may stand on the growth axis only, the {place} in {order} order, not on axis {axis}"
                    ));
                }
                Err(_) => return error(format!("{dim} items along axis {axis} can't be")),
            }
        }
        Ok(Shape { dims: lengths, open, growth })
    }

    /// A shape whose axis `open` has as many items as the data fill, whichever axis that is; its
    /// entry in `dims` means nothing.
    fn open_on(dims: &[i64], open: usize) -> Result<Self, LayoutError> {
        let mut known = dims.to_vec();
        match known.get_mut(open) {
            Some(dim) => *dim = 0,
            None => return error(format!("there is no axis {open} in {dims:?}")),
        }
        Ok(Shape { growth: open, open: true, ..Shape::new(&known, Order::C)? })
    }

    /// Whether the length of the growth axis is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Items along each axis, -1 where that is open.
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

/// The shape as a Python tuple.
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

/// Dtype, order and declared shape: all that is to be known of raw data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The items' type.
    pub dtype: Dtype,
    /// Which axis varies slowest.
    pub order: Order,
    /// Items along each axis.
    pub shape: Shape,
}

/// Why there can't be such an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutError(String);

fn error<T>(what: String) -> Result<T, LayoutError> {
    Err(LayoutError(what))
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LayoutError {}

impl Layout {
    /// A layout whose size a file can have.
    pub fn new(dtype: Dtype, shape: &[i64], order: Order) -> Result<Self, LayoutError> {
        let layout = Layout { shape: Shape::new(shape, order)?, dtype, order };
        check_size(&layout.dtype, layout.fixed_dims())?;
        Ok(layout)
    }

    /// A layout in C order whose axis `open` has as many items as the data fill. Unlike a growth
    /// axis it may be any: where it is not the first, another length means other places for all.
    pub fn open_on(dtype: Dtype, dims: &[i64], open: usize) -> Result<Self, LayoutError> {
        let layout = Layout { shape: Shape::open_on(dims, open)?, dtype, order: Order::C };
        check_size(&layout.dtype, layout.fixed_dims())?;
        Ok(layout)
    }

    /// The axes whose length is known.
    fn fixed_dims(&self) -> impl Iterator<Item = u64> + '_ {
        let open = self.shape.open.then_some(self.shape.growth);
        let dims = self.shape.dims.iter().enumerate();
        dims.filter(move |(axis, _)| Some(*axis) != open).map(|(_, dim)| *dim)
    }

    /// Bytes of one record: one step along the growth axis. The whole array's where it has no axes.
    #[must_use]
    pub fn record_len(&self) -> u64 {
        let dims = self.shape.dims.iter().enumerate();
        let others = dims.filter(|(axis, _)| *axis != self.shape.growth).map(|(_, dim)| *dim);
        len_of(&self.dtype, others)
    }

    /// Bytes of the array; `None` where its shape is open.
    #[must_use]
    pub fn data_len(&self) -> Option<u64> {
        (!self.shape.open).then(|| len_of(&self.dtype, self.shape.dims.iter().copied()))
    }

    /// How many whole records so many bytes hold, and the bytes left over. Records without bytes
    /// are none.
    #[must_use]
    pub fn records_in(&self, bytes: u64) -> (u64, u64) {
        match self.record_len() {
            0 => (0, bytes),
            record => (bytes / record, bytes % record),
        }
    }

    /// Whether each record lies in one piece, so that so many are whole in a file that is cut off.
    #[must_use]
    pub fn has_whole_records(&self) -> bool {
        let slower = self.shape.dims.get(..self.shape.growth).unwrap_or_default();
        self.order == Order::F || slower.iter().all(|dim| *dim == 1)
    }

    /// The length of the growth axis; `None` where it is open, or there is none.
    #[must_use]
    pub fn records(&self) -> Option<u64> {
        if self.shape.open { None } else { self.shape.dims.get(self.shape.growth).copied() }
    }

    /// The header of an array with so many records.
    pub fn with_records(&self, records: u64) -> Result<Header, LayoutError> {
        let mut dims = self.shape.dims.clone();
        if let Some(growth) = dims.get_mut(self.shape.growth) {
            *growth = records;
        }
        Header::new(self.dtype.clone(), self.order, dims)
    }

    /// The array's header; `None` where its shape is open.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        if self.shape.open {
            return None;
        }
        Header::new(self.dtype.clone(), self.order, self.shape.dims.clone()).ok()
    }
}

/// Bytes of an array whose size was checked.
pub(crate) fn len_of(dtype: &Dtype, dims: impl Iterator<Item = u64>) -> u64 {
    dims.fold(dtype.itemsize(), u64::saturating_mul)
}

/// NumPy wants the product of all lengths to be a number of bytes, even where one of them is 0.
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
