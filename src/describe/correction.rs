//! Corrections: keys of `npyd redo` that replace those of a description, and what `npyd take`
//! declared.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Value, json};

use crate::describe::DescribeError;
use crate::describe::declared::{Dims, LiteralValue, bytes, dtype_of, parsed};
use crate::describe::declared_by::DeclaredBy;
use crate::describe::dump::Dump;
use crate::describe::leading_bytes::LeadingBytes;
use crate::describe::taken::Rows;
use crate::describe::{Declared, Metadata};
use crate::model::FileName;
use crate::npy::{Dtype, Layout, Order};

/// The keys that replace those of a description. Each key is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// The type of the items.
    #[serde(default, deserialize_with = "some_dtype")]
    pub dtype: Option<Dtype>,
    /// The remark on how an ambiguous text of the type is read.
    #[serde(default)]
    pub dtype_remark: Option<String>,
    /// The number of items along each axis; -1 if it follows from the file's size.
    #[serde(default, deserialize_with = "some_dims")]
    pub shape: Option<Vec<i64>>,
    /// Which axis varies slowest.
    #[serde(default, deserialize_with = "some_order")]
    pub order: Option<Order>,
    /// Bytes before the data.
    #[serde(default, deserialize_with = "some_bytes")]
    pub offset: Option<u64>,
    /// Bytes after the data.
    #[serde(default, deserialize_with = "some_bytes")]
    pub trailing: Option<u64>,
    /// Whether npyd overwrites the array's header. If not, it makes a new file.
    #[serde(default)]
    pub in_place: bool,
    /// Whether the description alone counts again, without what was declared before.
    #[serde(default)]
    pub as_described: bool,
    /// The description that the keys correct, in the form of [`crate::decide::source_identity`].
    /// Empty until the source is probed.
    #[serde(default)]
    pub of: String,
    /// The rows that are taken of data that do not fit their description.
    #[serde(default)]
    pub take: Option<Rows>,
    /// The content of the data files that are taken, in the form of
    /// [`crate::decide::file_snapshot`]. Once it is another, the description counts again.
    #[serde(default)]
    pub content: String,
    /// The name of the array, if the keys describe the data alone: the description is gone.
    #[serde(default)]
    pub array: Option<FileName>,
}

/// The keys in words.
impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.shape.as_ref().map(|shape| format!("shape {shape:?}"));
        let words = [
            self.take.map(|rows| format!("{rows} rows")),
            self.dtype.as_ref().map(|dtype| format!("dtype {dtype}")),
            shape,
            self.order.map(|order| format!("order {order}")),
            self.offset.map(|offset| format!("offset {offset}")),
            self.trailing.map(|trailing| format!("trailing {trailing}")),
            self.in_place.then(|| "in place".to_owned()),
            self.as_described.then(|| "as described".to_owned()),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl Correction {
    /// Parses the text form.
    ///
    /// # Errors
    /// The text is not the JSON of a correction.
    pub fn parse(text: &str) -> Result<Self, DescribeError> {
        serde_json::from_str(text).map_err(|error| error.to_string().into())
    }

    /// Returns the names of the given keys.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        [
            ("dtype", self.dtype.is_some()),
            ("shape", self.shape.is_some()),
            ("order", self.order.is_some()),
            ("offset", self.offset.is_some()),
            ("trailing", self.trailing.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_given)| is_given.then_some(key))
        .collect()
    }

    /// Returns the remarks on the given keys: a list of them, and how the dtype is read if its text
    /// is ambiguous. Empty if no key is given.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let keys = self.keys();
        let list = (!keys.is_empty()).then(|| format!("npyd redo gave {}", keys.join(", ")));
        list.into_iter().chain(self.dtype_remark.clone()).collect()
    }

    /// Returns the text form: a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Correction {
            dtype,
            dtype_remark,
            shape,
            order,
            offset,
            trailing,
            in_place,
            as_described,
            of,
            take,
            content,
            array,
        } = self;
        let mut keys = json!({
            "dtype": dtype.as_ref().map(ToString::to_string), "dtype_remark": dtype_remark,
            "shape": shape,
            "order": order.map(|order| order.to_string()), "offset": offset, "trailing": trailing,
            "in_place": in_place.then_some(true),
            "as_described": as_described.then_some(true),
            "of": Some(of).filter(|of| !of.is_empty()),
            "take": take, "content": Some(content).filter(|content| !content.is_empty()),
            "array": array.as_ref().map(FileName::as_str),
        });
        if let Value::Object(keys) = &mut keys {
            keys.retain(|_, value| !value.is_null());
        }
        keys.to_string()
    }

    /// Returns a later correction of the data, completed by this one. If the later correction has
    /// keys, they replace all keys of this one.
    #[must_use]
    pub fn followed_by(self, later: Correction) -> Correction {
        if later.as_described {
            return later;
        }
        let (take, content) = match later.take {
            Some(_) => (later.take, later.content.clone()),
            None => (self.take, self.content.clone()),
        };
        let has_keys = !later.keys().is_empty();
        let in_place = later.in_place || (!has_keys && self.in_place);
        let of = later.of.clone();
        let keys = if has_keys { later } else { self };
        Correction { in_place, as_described: false, of, take, content, ..keys }
    }

    /// Returns the dump that the keys declare by themselves; `None` if they only correct a
    /// description.
    ///
    /// # Errors
    /// The keys contradict each other.
    #[must_use]
    pub fn dump_alone(&self) -> Option<Result<Dump, DescribeError>> {
        let array = self.array.clone()?;
        let declared = Declared {
            dtype: self.dtype.clone()?,
            shape: self.shape.clone()?,
            order: self.order.unwrap_or_default(),
            offset: self.offset.unwrap_or_default(),
            trailing: self.trailing.unwrap_or_default(),
            reserved: None,
            data: None,
            output: None,
            digest: None,
        };
        let dump = declared.dump(DeclaredBy::Redo, &array, Metadata::new());
        Some(dump.map(|dump| Dump { output: array, ..dump }))
    }

    /// Returns the dump with its own keys replaced by these.
    ///
    /// # Errors
    /// The keys contradict each other or those that remain.
    pub fn apply(&self, mut dump: Dump) -> Result<Dump, DescribeError> {
        let remarks = self.remarks();
        if remarks.is_empty() {
            return Ok(dump);
        }
        if self.dtype.is_some() || self.shape.is_some() || self.order.is_some() {
            let Layout { dtype, order, shape } = &dump.layout;
            let dims = self.shape.clone().unwrap_or_else(|| shape.dims());
            let dtype = self.dtype.as_ref().unwrap_or(dtype).clone();
            dump.layout = Layout::new(dtype, &dims, self.order.unwrap_or(*order))?;
            dump.facts.counted = None;
            if self.dtype.is_some() {
                dump.bits_or_bytes = None;
            }
        }
        if self.shape.is_some() || self.order.is_some() {
            dump.facts.axes.clear();
        }
        if let Some(offset) = self.offset {
            dump.data_offset = offset;
            dump.facts.at_the_end = false;
        }
        dump.trailing = self.trailing.unwrap_or(dump.trailing);
        let is_moved = self.offset.is_some() && matches!(dump.front, LeadingBytes::Reserved(_));
        if is_moved || matches!(dump.front, LeadingBytes::Header(_)) {
            // The bytes before the data describe another layout, so npyd does not overwrite them.
            dump.front = LeadingBytes::Bare;
        }
        dump.warnings.extend(remarks);
        match dump.least_file_len() {
            Some(_) => Ok(dump),
            None => {
                Err("offset, data and trailing together exceed 2^63 bytes: correct them".into())
            }
        }
    }
}

fn some_dtype<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Dtype>, D::Error> {
    dtype_of(&LiteralValue::deserialize(from)?.0).map(Some).map_err(D::Error::custom)
}

fn some_dims<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<i64>>, D::Error> {
    Dims::deserialize(from).map(|Dims(dims)| Some(dims))
}

fn some_order<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Order>, D::Error> {
    parsed(from).map(Some)
}

fn some_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bytes(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{Declared, DeclaredBy, Metadata};
    use crate::model::FileName;

    fn dump() -> Dump {
        let declared: Declared = serde_json::from_value(json!({
            "dtype": "<f4", "shape": [2, 3], "offset": 8, "trailing": 4
        }))
        .unwrap();
        let name = FileName::try_from("scan.raw".to_owned()).unwrap();
        declared.dump(DeclaredBy::Manifest, &name, Metadata::new()).unwrap()
    }

    fn apply(keys: &Value) -> Result<Dump, DescribeError> {
        let correction = Correction::parse(&keys.to_string())?;
        assert_eq!(Correction::parse(&correction.to_json()).unwrap(), correction);
        correction.apply(dump())
    }

    #[test]
    fn each_key_may_be_given_alone() {
        for (keys, dtype, dims, order, offset, trailing) in [
            (json!({"in_place": true}), "'<f4'", [2, 3], Order::C, 8, 4),
            (json!({"dtype": "<i4"}), "'<i4'", [2, 3], Order::C, 8, 4),
            (json!({"dtype": "'<i4'"}), "'<i4'", [2, 3], Order::C, 8, 4),
            (json!({"shape": [3, 2]}), "'<f4'", [3, 2], Order::C, 8, 4),
            (json!({"order": "F"}), "'<f4'", [2, 3], Order::F, 8, 4),
            (json!({"offset": 0}), "'<f4'", [2, 3], Order::C, 0, 4),
            (json!({"trailing": 0}), "'<f4'", [2, 3], Order::C, 8, 0),
        ] {
            let dump = apply(&keys).unwrap();
            assert_eq!(dump.layout.dtype.to_string(), dtype, "{keys}");
            assert_eq!(dump.layout.shape.dims(), dims, "{keys}");
            assert_eq!(dump.layout.order, order, "{keys}");
            assert_eq!((dump.data_offset, dump.trailing), (offset, trailing), "{keys}");
            assert_eq!(dump.kind, DeclaredBy::Manifest);
            assert_eq!(dump.warnings.is_empty(), keys.get("in_place").is_some(), "{keys}");
        }
    }

    #[test]
    fn a_structured_dtype_is_read_back() {
        let dump = apply(&json!({"dtype": "[('a','<i2'),('b','<u2')]"})).unwrap();
        assert_eq!(dump.layout.dtype.to_string(), "[('a', '<i2'), ('b', '<u2')]");
    }

    #[test]
    fn keys_that_contradict_are_refused() {
        for keys in [
            json!({"dtype": "<q9"}),
            json!({"shape": [2, -1]}),
            json!({"shape": [2.5]}),
            json!({"shape": [i64::MAX]}),
            json!({"offset": i64::MAX}),
            json!({"offset": -1}),
            json!({"order": "K"}),
            json!({"output": "x.npy"}),
        ] {
            assert!(apply(&keys).is_err(), "{keys}");
        }
    }
}
