//! Completes the keys of a request about data that nothing describes any more.

use crate::decide::request_problem::RequestProblem;
use crate::describe::Correction;
use crate::finalize::pipeline::redo_array::{ArrayJob, header_of_array};
use crate::model::{FileName, Stat};
use crate::npy::Order;

/// Completes the keys of a request about a data file that nothing describes any more. What they
/// lack is as an earlier request declared, or as in the array, which keeps its name. The array
/// tells nothing of another file, or once the file has changed.
///
/// # Errors
/// Nothing tells what the keys lack.
pub fn complete_keys(
    job: &ArrayJob,
    before: Option<Correction>,
    stat: &Stat,
) -> Result<Correction, RequestProblem> {
    let given = &job.correction;
    if given.in_place {
        return Err(RequestProblem::InPlaceWithSource);
    }
    let name = job.array.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let array = FileName::try_from(name).map_err(|_| RequestProblem::Undescribed)?;
    if given.as_described {
        return Err(RequestProblem::Undescribed);
    }
    if let Some(before) = before {
        let dtype_remark = match given.dtype {
            Some(_) => given.dtype_remark.clone(),
            None => before.dtype_remark,
        };
        return Ok(Correction {
            dtype_remark,
            dtype: given.dtype.clone().or(before.dtype),
            shape: given.shape.clone().or(before.shape),
            order: given.order.or(before.order),
            offset: given.offset.or(before.offset),
            trailing: given.trailing.or(before.trailing),
            array: Some(array),
            ..Correction::default()
        });
    }
    let is_made_of = job.receipt.identities.iter().any(|identity| identity.is_of_data(stat));
    let there = if is_made_of { header_of_array(job).ok() } else { None };
    let (dtype, shape) = match (&given.dtype, &given.shape, &there) {
        (Some(dtype), Some(shape), _) => (dtype.clone(), shape.clone()),
        (dtype, shape, Some(header)) => {
            let (len, size) = (header.data_len(), stat.size);
            if given.offset.is_none() && len != size {
                return Err(RequestProblem::UnknownOffset { len, size });
            }
            let dims = header.shape().iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX));
            (
                dtype.clone().unwrap_or_else(|| header.dtype().clone()),
                shape.clone().unwrap_or_else(|| dims.collect()),
            )
        }
        (_, _, None) => return Err(RequestProblem::Undescribed),
    };
    Ok(Correction {
        dtype: Some(dtype),
        dtype_remark: given.dtype_remark.clone(),
        shape: Some(shape),
        order: given.order.or(there.map(|header| header.order()).filter(|it| *it == Order::F)),
        offset: given.offset,
        trailing: given.trailing,
        array: Some(array),
        ..Correction::default()
    })
}
