//! Failpoints: the tests make npyd skip a step, to check that they notice. No release build has
//! this.

#[cfg(not(debug_assertions))]
compile_error!("the feature `sabotage` breaks npyd on purpose: build without it");

/// Returns whether `NPYD_SABOTAGE`, a comma-separated list, contains this step: `data-sync`,
/// `writeback` (only an optimization of that), `sync-before-header`, `directory-sync`,
/// `source-last`, `rest-sync`, `backup`.
#[must_use]
pub fn skips(what: &str) -> bool {
    std::env::var("NPYD_SABOTAGE").is_ok_and(|named| named.split(',').any(|it| it == what))
}
